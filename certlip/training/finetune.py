"""Fine-tuning as an LBEN: the same function and the same Lipschitz bound to begin with, then small
steps.

Every parameter is free and the bound holds at every step by construction of (7); what is kept is
proven on its frozen numbers. An epoch only replaces the best one if it is nowhere worse than the
origin on the validation split: not in natural accuracy and not in certified accuracy at any ε.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from certlip.blocks import Network, save
from certlip.data import Dataset
from certlip.equilibrium import LBEN
from certlip.errors import InconclusiveError
from certlip.layers.base import NUDGE
from certlip.reparam import reparametrize
from certlip.reparam.network import Reparametrized
from certlip.solvers import Evaluator
from certlip.training.checkpoint import NAME as CHECKPOINT
from certlip.training.conduct import Conduct
from certlip.training.loop import Job, fit, history_entry
from certlip.training.penalty import KernelPenalty
from certlip.training.settings import Settings
from certlip.training.validation import certified_score, validated


class _Module(nn.Module):
    """Fixed blocks and LBENs as one torch module on raw inputs."""

    def __init__(self, parts: Reparametrized, device: str) -> None:
        super().__init__()
        self.lbens = nn.ModuleList(lben.to(device) for lben in parts.lbens)
        self.steps = [
            part if isinstance(part, LBEN) else Evaluator(Network([part]), device=device)
            for part in parts.parts
        ]

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        for lben in self.lbens:
            assert isinstance(lben, LBEN)
            assert lben.last_solution is not None
            lben.last_solution.require_converged()
        return x


def _proven(what: str, network: Network, validation: Dataset, settings: Settings) -> dict[str, Any]:
    """What `validated` says of a network that can be proven."""
    row = validated(network, validation, settings.radii(), settings.norm)
    if not row["proven"]:
        raise InconclusiveError(f"the {what} cannot be proven: {row['reason']}")
    return row


def _nowhere_worse_than(before: dict[str, Any]) -> Callable[[dict[str, Any]], float]:
    """The score of validation metrics: −∞ if one of them is below that of the origin."""

    def score(row: dict[str, Any]) -> float:
        worse = row["natural"] < before["natural"] or any(
            row["certified"][eps] < value for eps, value in before["certified"].items()
        )
        return -math.inf if worse else certified_score(row)

    return score


def finetune(
    network: Network,
    data: Dataset,
    validation: Dataset,
    settings: Settings,
    out: Path,
    *,
    on_parts: Callable[[Reparametrized], None] | None = None,
    **conduct: Any,
) -> Network:
    """Reparametrizes `network` as LBENs, fine-tunes them in float64 and writes `out/model.pt`.

    Blocks that no LBEN holds (pooling, sorting, convolutions with zero padding) stay as they are; the
    history names their kinds, and `on_parts` is told the parts before the first step.

    `out/reparametrized.pt` is the network before the first step: the function of the origin to
    rounding. Fine-tuning itself starts with ε = 10⁻⁹ in (7), which leaves the proof room.

    Args:
        conduct: The fields of `certlip.training.Conduct`, as for `train`.

    Raises:
        UnsupportedError, RejectedError: the network cannot be reparametrized.
        InconclusiveError: the equilibrium did not converge, nothing could be proven, or the time is over.
    """
    how = Conduct(**conduct)
    parts = reparametrize(network)
    if on_parts is not None:
        on_parts(parts)
    exact = parts.freeze()
    if how.group.first and not (how.resume and (out / CHECKPOINT).exists()):
        save(Network(exact.blocks, network.history), out / "reparametrized.pt")
    for lben in parts.lbens:
        lben.eps = NUDGE
    torch.manual_seed(settings.seed)
    module, start = _Module(parts, how.device), parts.freeze()
    before = _proven("origin", network, validation, settings)
    at_start = _proven("reparametrized model", start, validation, settings)
    score = _nowhere_worse_than(before)
    key: dict[str, Any] = {
        "step": "finetune",
        "origin": network.sha256(),
        "data": data.sha256(),
        "validation": validation.sha256(),
        "settings": settings.table(),
    }
    penalty = KernelPenalty(parts.lbens, settings.kernel_l1)
    job = Job(
        module,
        parts.freeze,
        data,
        validation,
        settings,
        out,
        score,
        key,
        start=(start, score(before)),
        penalty=penalty if penalty else None,
    )
    best, metrics = fit(job, how)
    # same function, same L; but less may be proven about the distance of a state to its equilibrium
    lost = {eps: value - at_start["certified"][eps] for eps, value in before["certified"].items()}
    kept = [m["epoch"] for m in metrics if m.get("proven") and score(m) > score(before)]
    entry = history_entry(
        "finetune",
        settings,
        dataset=data.name,
        data_sha256=data.sha256(),
        origin=network.sha256(),
        epochs_not_worse=kept,
        certified_lost_at_start={eps: share for eps, share in lost.items() if share > 0.0},
        fixed=[part.kind for part in parts.parts if not isinstance(part, LBEN)],
    )
    best = Network(best.blocks, [*network.history, entry])
    if how.group.first:
        save(best, out / "model.pt")
    return best
