"""The enclosure of a whole network, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
import torch

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Equilibrium,
    GroupSort,
    Network,
    Normalize,
    PaddedEquilibrium,
    Pooling,
    Residual,
    Resize,
    Window,
)
from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.conv_equilibrium import ConvEquilibriumEncloser
from certlip.certification.enclosure.enclosed import Enclosure, joined
from certlip.certification.enclosure.equilibrium import EquilibriumEncloser
from certlip.certification.enclosure.explicit import activation, affine, normalize, residual
from certlip.certification.enclosure.frame import CACHED
from certlip.certification.enclosure.guesses import Guesses, InTurn, Polished, examples, states
from certlip.certification.enclosure.image import (
    conv_residual,
    convolution,
    group_sort,
    pooling,
    resize,
    window,
)
from certlip.certification.enclosure.padded_equilibrium import PaddedEquilibriumEncloser
from certlip.certification.enclosure.side_by_side import in_parts
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import require_ieee
from certlip.linalg.rigorous.rounding import norm_up, up
from certlip.lmi import BlockProof, NetworkProof
from certlip.lmi.slack import SLACK

#: Rows that go through the network together. A matrix product may round differently for another
#: number of rows, so batches always have this many (the last one is padded): a limit on the number of
#: samples changes no result. Another order may change the last bits of a guess, and with it those of
#: a radius: some libraries round the rows of a product differently by their position.
ROWS = 256

#: Rows that are refined together, and that at least go through a run of blocks on one thread.
STEP, LEAST = 32, 64

#: The share of a margin that errors of guesses may cost as a rule.
LOSS = 1e-4

#: States of an equilibrium, from which on rough guesses come first.
LARGE = 1024

#: Relative residuals: enough for a step of Newton, about what float32 reaches, and what float64 does.
COARSE, ROUGH, FINEST = 3e-5, 1e-6, 1e-11

LOCAL: dict[type[Block], Callable[..., Local]] = {
    Normalize: normalize,
    Pooling: pooling,
    Resize: resize,
    Window: window,
    GroupSort: group_sort,
}

#: Enclosures that are built once from a block and its proof; those of equilibria also take a guess.
PREPARED: dict[type[Block], Callable[..., Callable[..., Local]]] = {
    Affine: affine,
    Activation: activation,
    Residual: residual,
    Convolution: convolution,
    ConvResidual: conv_residual,
    Equilibrium: EquilibriumEncloser,
    ConvEquilibrium: ConvEquilibriumEncloser,
    PaddedEquilibrium: PaddedEquilibriumEncloser,
}


def padded(x: np.ndarray, size: int) -> np.ndarray:
    """x (n, d) and rows of zeros, (size, d)."""
    return np.concatenate([x, np.zeros((size - len(x), x.shape[1]))]) if len(x) < size else x


def _local(block: Block, own: BlockProof) -> Callable[..., Local]:
    if type(block) in PREPARED:
        return PREPARED[type(block)](block, own)
    return partial(LOCAL[type(block)], block)


class Encloser:
    """Encloses the logits of one proven network.

    Args:
        network: The frozen network.
        proof: Its proof, which carries the Lipschitz bounds and monotonicity margins used here.
        device: Where the guesses of equilibrium states are computed; the verification is float64
            on the CPU whatever this is.

    Raises:
        InconclusiveError: a norm that the enclosure needs is no finite double.
    """

    def __init__(self, network: Network, proof: NetworkProof, *, device: str = "cpu") -> None:
        require_ieee()
        self.network = network
        self.device = device
        self.fine = Guesses(network, torch.float64, device)
        self.after = [proof.after(k).value for k in range(len(network.blocks))]
        self.lip = [own.lip.value for own in proof.blocks]
        self.local = []
        for k, (block, own) in enumerate(zip(network.blocks, proof.blocks, strict=True)):
            try:
                self.local.append(_local(block, own))
            except ValueError as error:  # a norm above the largest double
                raise InconclusiveError(f"block {k} ({block.kind}): {error}") from None

    def __call__(self, x: np.ndarray) -> Enclosure:
        """Enclosure of the logits of x (n, d), exact doubles in raw units, for any n ≤ ROWS."""
        if len(x) > ROWS:
            raise ValueError(f"{len(x)} rows: expected at most {ROWS}")
        if x.dtype != np.float64:  # norms are bounded by sums in the precision of what is summed
            raise ValueError(f"rows of {x.dtype}: expected float64")
        return self._enclosed(x, ROWS, self.guess, {})

    @cached_property
    def guess(self) -> Guesses | Polished | InTurn:
        """As rough as a large network allows: what it costs is measured on made-up inputs."""
        if max((states(block) for block in self.network.blocks), default=0) < LARGE:
            return self.fine
        rough = Guesses(self.network, torch.float32, self.device)
        x, loss = examples(self.network), np.inf
        coarse = Guesses(self.network, torch.float32, self.device, COARSE)
        for guess in (rough, Polished(coarse), Polished(coarse, thorough=True)):
            loss = float(np.median(self._enclosed(x, len(x), guess, {}).loss()))
            if not loss > LOSS:
                return guess
        tol = max(FINEST, ROUGH * LOSS / loss)
        return InTurn(rough, Guesses(self.network, torch.float64, self.device, tol))

    def refined(self, x: np.ndarray, rough: Enclosure, wanted: np.ndarray) -> Enclosure:
        """`rough` with the `wanted` rows (n,) bool enclosed anew, from states in float64.

        Rows go through together in steps that start at multiples of `STEP`, wanted or not.
        """
        if self.guess is self.fine or not wanted.any():
            return rough
        parts = []
        for start in range(0, len(x), STEP):
            rows = slice(start, start + STEP)
            part = rough.rows(rows)
            if wanted[rows].any():
                fine = self._enclosed(x[rows], STEP, self.fine, part.states)
                part = fine.where(wanted[rows], part)
            parts.append(part)
        return joined(parts)

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def _enclosed(
        self,
        x: np.ndarray,
        size: int,
        guesses: Guesses | Polished | InTurn,
        starts: dict[int, np.ndarray],
    ) -> Enclosure:
        """The enclosure of x (n, d), padded to `size` rows."""
        n, y = len(x), padded(x, size)
        # an input that is no point is off by anything, though a block may leave it out
        error, worst = np.where(np.isfinite(y).all(axis=1), 0.0, np.inf), np.zeros(size)
        found: dict[int, np.ndarray] = {}
        norms, here = np.empty((size, len(self.network.blocks))), error  # ‖y − true y‖ ≤ here
        for implicit, run in self.runs:
            if not implicit:
                y, here, error, norms[:, run] = in_parts(
                    partial(self._explicit, run), self.step, y, here, error
                )
                continue
            (k,) = run
            norms[:, k] = up(norm_up(y) + here)
            start = padded(starts[k], size) if k in starts else None
            local = self.local[k](y, guesses.block(k, y, start), guesses.polish(k))
            y, here, error = self._after(k, local, here, error)
            assert local.z is not None
            assert local.residual is not None
            found[k] = local.z[:n]
            worst = np.maximum(worst, local.residual)
        return Enclosure(y[:n], error[:n], found, worst[:n], norms[:n])

    def _explicit(
        self, run: range, y: np.ndarray, here: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """The output of blocks that are evaluated, its two errors, and the norms of their inputs."""
        norms = []
        for k in run:
            norms.append(up(norm_up(y) + here))
            y, here, error = self._after(k, self.local[k](y), here, error)
        return y, here, error, np.stack(norms, axis=1)

    def _after(
        self, k: int, local: Local, here: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The output of block k, its own error, and what all so far amount to in the logits."""
        here = up(up(self.lip[k] * here) + local.delta)
        return local.y, here, up(error + up(self.after[k] * (SLACK * local.delta)))

    @cached_property
    def runs(self) -> list[tuple[bool, range]]:
        """Successive blocks that are evaluated together, and every equilibrium on its own."""
        runs: list[tuple[bool, range]] = []
        for k, block in enumerate(self.network.blocks):
            implicit = states(block) > 0
            if runs and not implicit and not runs[-1][0]:
                runs[-1] = (False, range(runs[-1][1].start, k + 1))
            else:
                runs.append((implicit, range(k, k + 1)))
        return runs

    @cached_property
    def step(self) -> int:
        """Rows that go through a run of blocks together: more of them only where they are short."""
        widest = max(max(block.in_width, block.out_width) for block in self.network.blocks)
        return min(ROWS, max(LEAST, CACHED // widest))
