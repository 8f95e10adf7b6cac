"""Successive blocks that are evaluated, and how errors grow from block to block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.columns import InColumns, through
from certlip.linalg.rigorous.rounding import norm_up, up
from certlip.lmi import NetworkProof
from certlip.lmi.slack import SLACK


@dataclass(frozen=True)
class Errors:
    """Upper bounds (batch,): `here` of the distance of the last output from the true one, `logits` of
    what all errors so far amount to in the logits."""

    here: np.ndarray
    logits: np.ndarray


class Growth:
    """What the proven bounds of the blocks make of errors."""

    def __init__(self, proof: NetworkProof) -> None:
        self.lip = [own.lip.value for own in proof.blocks]
        self.after = [proof.after(k).value for k in range(len(proof.blocks))]

    def __call__(self, k: int, delta: np.ndarray, errors: Errors) -> Errors:
        """The errors after block k, whose own is δ (batch,)."""
        here = up(up(self.lip[k] * errors.here) + delta)
        return Errors(here, up(errors.logits + up(self.after[k] * (SLACK * delta))))


class Run:
    """Successive blocks k of a network, each enclosed by its `local`."""

    def __init__(
        self, blocks: range, local: list[Callable[[np.ndarray], Local]], growth: Growth
    ) -> None:
        self.growth = growth
        together = groupby(blocks, lambda k: -1 if isinstance(local[k], InColumns) else k)
        self.stages = [[(k, local[k]) for k in stage] for _, stage in together]

    def __call__(
        self, y: np.ndarray, here: np.ndarray, logits: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """The output for y (batch, d), its two errors, and bounds of the norms of the true inputs of all
        blocks (batch, blocks)."""
        errors, norms = Errors(here, logits), []
        for stage in self.stages:
            y, sizes, deltas = _through([local for _, local in stage], y)
            for (k, _), size, delta in zip(stage, sizes.T, deltas.T, strict=True):
                norms.append(up(size + errors.here))
                errors = self.growth(k, delta, errors)
        return y, errors.here, errors.logits, np.stack(norms, axis=1)


def _through(
    blocks: list[Callable[[np.ndarray], Local]], x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `through`, for one block of any kind as well."""
    in_columns = [block for block in blocks if isinstance(block, InColumns)]
    if in_columns:
        return through(in_columns, x)
    (block,) = blocks
    local = block(x)
    return local.y, norm_up(x)[:, None], local.delta[:, None]
