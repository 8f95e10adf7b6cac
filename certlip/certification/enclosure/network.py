"""The enclosure of a whole network, batch by batch."""

from __future__ import annotations

from functools import cached_property
from itertools import groupby

import numpy as np
import torch

from certlip.blocks import Network
from certlip.certification.enclosure.enclosed import Enclosure, joined
from certlip.certification.enclosure.frame import CACHED
from certlip.certification.enclosure.guesses import Guesses, InTurn, Polished, examples, states
from certlip.certification.enclosure.kinds import local_of
from certlip.certification.enclosure.run import Errors, Growth, Run
from certlip.certification.enclosure.side_by_side import in_parts
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import require_ieee
from certlip.linalg.rigorous.rounding import norm_up, up
from certlip.lmi import NetworkProof

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


def padded(x: np.ndarray, size: int) -> np.ndarray:
    """x (n, d) and rows of zeros, (size, d)."""
    return np.concatenate([x, np.zeros((size - len(x), x.shape[1]))]) if len(x) < size else x


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
        self.growth = Growth(proof)
        self.local = []
        for k, (block, own) in enumerate(zip(network.blocks, proof.blocks, strict=True)):
            try:
                self.local.append(local_of(block, own))
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
        off = np.where(np.isfinite(y).all(axis=1), 0.0, np.inf)
        errors, worst = Errors(off, off), np.zeros(size)
        found: dict[int, np.ndarray] = {}
        norms = np.empty((size, len(self.network.blocks)))
        for run, blocks in self.runs:
            if run is not None:
                y, here, logits, norms[:, blocks] = in_parts(
                    run, self.step, y, errors.here, errors.logits
                )
                errors = Errors(here, logits)
                continue
            (k,) = blocks
            norms[:, k] = up(norm_up(y) + errors.here)
            start = padded(starts[k], size) if k in starts else None
            local = self.local[k](y, guesses.block(k, y, start), guesses.polish(k))
            y, errors = local.y, self.growth(k, local.delta, errors)
            assert local.z is not None
            assert local.residual is not None
            found[k] = local.z[:n]
            worst = np.maximum(worst, local.residual)
        return Enclosure(y[:n], errors.logits[:n], found, worst[:n], norms[:n])

    @cached_property
    def runs(self) -> list[tuple[Run | None, range]]:
        """Successive blocks that are evaluated together, and every equilibrium on its own."""
        explicit = [states(block) == 0 for block in self.network.blocks]
        runs = []
        for _, own in groupby(range(len(explicit)), lambda k: -1 if explicit[k] else k):
            first, *others = own
            blocks = range(first, first + 1 + len(others))
            run = Run(blocks, self.local, self.growth) if explicit[first] else None
            runs.append((run, blocks))
        return runs

    @cached_property
    def step(self) -> int:
        """Rows that go through a run of blocks together: more of them only where they are short."""
        widest = max(max(block.in_width, block.out_width) for block in self.network.blocks)
        return min(ROWS, max(LEAST, CACHED // widest))
