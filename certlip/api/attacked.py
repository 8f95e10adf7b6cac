"""Accuracy under attack, and a cross-check: what an attack breaks must not be certified."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from certlip.api.models import Model, model_entry, network_of, path_of
from certlip.api.result import Result
from certlip.api.samples import Samples, dataset_of, described
from certlip.blocks import Network
from certlip.certification import Certifier, Counterexample, check_samples, parse_eps, parse_norms
from certlip.certification.attacks import USUAL, Falsifier
from certlip.certification.attacks.survivors import survivors
from certlip.certification.enclosure.network import ROWS
from certlip.errors import InputError, UnsoundError
from certlip.lmi import NetworkProof, prove

SCHEMA = "certlip/attack/1"


class AttackResult(Result):
    """What the attacks found.

    Attributes:
        found: A proven counterexample of every sample that was lost, at the first ε where it was.
        broken: Those of them that are inside of a certified radius, which is then theirs: bugs.
    """

    def __init__(
        self, document: dict[str, Any], found: list[Counterexample], broken: list[Counterexample]
    ) -> None:
        super().__init__(document)
        self.found, self.broken = found, broken

    @property
    def natural_accuracy(self) -> float:
        return self.document["natural_accuracy"]

    @property
    def robust_accuracy_upper(self) -> dict[str, float]:
        """The share of samples that is right and survived every attack, at every ε as it was written."""
        return self.document["robust_accuracy_upper"]

    def __repr__(self) -> str:
        shares = ", ".join(f"{e}: {share:.4f}" for e, share in self.robust_accuracy_upper.items())
        return f"AttackResult(natural {self.natural_accuracy:.4f}, robust at most {{{shares}}})"


def attack(
    model: Model,
    data: Samples,
    label: np.ndarray | torch.Tensor | Sequence[int] | None = None,
    *,
    eps: str = "36/255,72/255,108/255,1",
    norm: str = "l2",
    semantics: str = "real",
    attacks: Sequence[str] = USUAL,
    steps: int = 20,
    restarts: int = 2,
    check: bool = True,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> AttackResult:
    """Upper bounds of robust accuracy: samples that no attack within ε moved to another class.

    Only proven counterexamples count: the point is inside of the ball exactly, and another logit is larger
    by more than the evaluation may be off (with float32 semantics, in the deployed evaluation as well).

    Args:
        model: A network, a torch module, or the path of a model.
        data: Inputs (n, …) in raw units, float32 or float64, or a dataset.
        label: Their classes (n,), of inputs that are no dataset.
        eps: Radii in raw input units, separated by commas.
        norm: l2 or linf.
        semantics: real, or float32.
        attacks: Names of `certlip.certification.attacks.ATTACKS`.
        steps, restarts: Of every attack.
        check: Whether samples that are lost are certified as well: then a radius that the attack broke is
            a bug, and the exit code 5.
        seed: Of the attacks.
        device: Where searches run.
        on_progress: Told how many of all samples are done.

    Raises:
        InputError: samples, labels or an option that do not fit.
        RejectedError, InconclusiveError: no bound of the logits' errors could be proven.
        UnsupportedError: no rule for these semantics.
    """
    network, asked, (norm, *more) = network_of(model), parse_eps(eps), parse_norms(norm)
    if more:
        raise InputError("norm: expected one of l2 and linf")
    samples = dataset_of(data, label, network.classes)
    return attack_network(
        *(network, path_of(model), samples, prove(network)),
        eps=asked,
        settings={"dataset": samples.name, "split": samples.split, "limit": None},
        check=check,
        seed=seed,
        on_progress=on_progress,
        norm=norm,
        semantics=semantics,
        attacks=attacks,
        steps=steps,
        restarts=restarts,
        device=device,
    )


def attack_network(
    network: Network,
    path: str,
    data: Any,
    proof: NetworkProof,
    *,
    eps: Sequence[Any],
    settings: dict[str, Any],
    check: bool,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
    **how: Any,
) -> AttackResult:
    """The same of a proven network and a dataset, named by `settings`; `how` is what `Falsifier` takes."""
    n = len(data)
    if not n:
        raise InputError("no samples: nothing to attack")
    check_samples(network, data.rows(slice(1)), data.label[:1])
    asked = sorted(eps, key=lambda e: e.upper)
    falsifier = Falsifier(network, proof, **how)
    norm, semantics, device = (how[key] for key in ("norm", "semantics", "device"))
    certifier = None
    if check:
        certifier = Certifier(
            *(network, proof), device=device, semantics=semantics, norms=(norm,), eps_linf=asked
        )
    generator, start = torch.Generator().manual_seed(seed), time.perf_counter()
    correct, left = 0, np.zeros(len(asked), dtype=int)
    found: list[Counterexample] = []
    broken: list[Counterexample] = []
    for first in range(0, n, ROWS):
        rows = slice(first, min(first + ROWS, n))
        x, label = data.rows(rows), data.label[rows]
        check_samples(network, x, label)
        part = survivors(falsifier, x, label, asked, generator)
        correct += int(part.correct.sum())
        left += [part.at(k) for k in range(len(asked))]
        own = sorted(part.lost)
        found += [replace(part.lost[i][1], index=first + i) for i in own]
        if certifier is not None and own:
            radii = certifier(x[own], label[own])
            for i, r, of in zip(own, radii.radius_lower, radii.predicted, strict=True):
                c = part.lost[i][1]
                if c.distance <= r and of == c.label:
                    broken.append(replace(c, index=first + i, radius=float(r)))
        if on_progress is not None:
            on_progress(rows.stop, n)
    shares = dict(zip((e.text for e in asked), left, strict=True))
    document = {
        "schema": SCHEMA,
        "model": model_entry(path, network),
        "settings": {
            "seed": seed,
            "device": device,
            "dtype": "float64",
            "semantics": semantics,
            "norm": norm,
            **settings,
            "eps": [e.text for e in eps],
        },
        "data": described(data),
        "natural_accuracy": correct / n,
        "robust_accuracy_upper": {e.text: int(shares[e.text]) / n for e in eps},
        "found": {e.text: correct - int(shares[e.text]) for e in eps},
        "attacks": list(how["attacks"]),
        "steps": how["steps"],
        "restarts": how["restarts"],
        "checked": len(found) if check else 0,
        "broken": len(broken),
        "seconds": time.perf_counter() - start,
        "status": "done",
        "exit_code": UnsoundError.exit_code if broken else 0,
    }
    return AttackResult(document, found, broken)
