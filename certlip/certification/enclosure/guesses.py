"""Guesses of equilibrium states: rough ones in float32, finer ones where they are worth it.

Nothing here is trusted. A guess depends on its own row alone, so that the same sample gets the same
certificate whatever is certified with it: what solvers learn from examples they learn from the same
made-up inputs every time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import (
    Block,
    ConvEquilibrium,
    Equilibrium,
    Network,
    Normalize,
    PaddedEquilibrium,
    Sigma,
)
from certlip.certification.enclosure.side_by_side import in_steps
from certlip.solvers import Evaluator


@dataclass(frozen=True)
class Polish:
    """How guesses are moved whose residuals are known.

    `distance` goes from the residuals e and slopes J of states (batch, n) to how far they are off;
    `thorough`: what is left is worth a product more that bounds it better.
    """

    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
    thorough: bool = False


#: Made-up inputs for solvers to learn from.
EXAMPLES = 32

#: Numbers of the states that are solved together: arrays of this size are used again, larger ones are
#: asked of the system each time, which clears them.
TOGETHER = 2**22

#: Numbers above this only keep a solver busy (NaN too): any guess will do for them.
SANE = {torch.float32: 1e30, torch.float64: 1e100}


def states(block: Block) -> int:
    """How many numbers a state of the block has, 0 for one that is not solved but evaluated."""
    if isinstance(block, Equilibrium | ConvEquilibrium | PaddedEquilibrium):
        return block.sigma.width
    return 0


class Guesses:
    """Solves the equilibria of a network in one precision, to its solvers' own tolerance or to `tol`."""

    def __init__(
        self, network: Network, dtype: torch.dtype, device: str, tol: float | None = None
    ) -> None:
        self.network, self.dtype, self.device, self.tol = network, dtype, device, tol

    def block(self, k: int, x: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """A state (batch, n) of equilibrium block k for its inputs x (batch, d), float64."""
        inputs = (x,) if start is None else (x, start)
        (z,) = in_steps(partial(self._solved, k), self._step(k), *inputs)
        return z

    def _step(self, k: int) -> int:
        """How many rows of block k are solved together: a power of 2, the same for any batch."""
        if self.device != "cpu":
            return sys.maxsize
        return 1 << max(TOGETHER // states(self.network.blocks[k]), 1).bit_length() - 1

    def _solved(
        self, k: int, x: np.ndarray, start: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        sane = (np.abs(x) < SANE[self.dtype]).all(axis=1, keepdims=True)
        _, solution = self._evaluator.block(
            k,
            self.moved(np.where(sane, x, 0.0)),
            None if start is None else self.moved(np.where(np.isfinite(start), start, 0.0)),
        )
        assert solution is not None
        return (solution.z.cpu().double().numpy(),)

    def polish(self, k: int) -> Polish | None:
        """How far states of block k with residuals e and slopes J of σ are off, if that is to be used."""
        del k
        return None

    @torch.no_grad()
    def tangent(self, k: int, e: np.ndarray, J: np.ndarray) -> np.ndarray | None:
        """d ≈ (I − JW)⁻¹e per row of equilibrium block k; None if its solver does not tell."""
        d = self._evaluator.implicit(k).tangent(self.moved(J), self.moved(e))
        return None if d is None else d.cpu().double().nan_to_num(0.0, 0.0, 0.0).numpy()

    @cached_property
    def _evaluator(self) -> Evaluator:
        evaluator = Evaluator(
            self.network, dtype=self.dtype, device=self.device, tol=self.tol, compact=False
        )
        evaluator.calibrate(self.moved(examples(self.network)))
        return evaluator

    @torch.no_grad()
    def moved(self, a: np.ndarray) -> Tensor:
        """An array as it is solved for."""
        return torch.from_numpy(np.ascontiguousarray(a)).to(device=self.device, dtype=self.dtype)


class Polished:
    """Guesses as rough as a step of Newton allows, which whoever knows their residuals asks for."""

    def __init__(self, rough: Guesses, *, thorough: bool = False) -> None:
        self.rough, self.thorough = rough, thorough

    def block(self, k: int, x: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        return self.rough.block(k, x, start)

    def polish(self, k: int) -> Polish | None:
        """The step is solved in float32 as well: it is small, and so are its errors."""

        def distance(e: np.ndarray, J: np.ndarray) -> np.ndarray:
            d = self.rough.tangent(k, e, J)
            return np.zeros_like(e) if d is None else d

        return Polish(distance, self.thorough)


class InTurn:
    """Rough guesses, and from these on finer ones."""

    def __init__(self, rough: Guesses, fine: Guesses) -> None:
        self.rough, self.fine = rough, fine

    def block(self, k: int, x: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        return self.fine.block(k, x, self.rough.block(k, x) if start is None else start)

    def polish(self, k: int) -> Polish | None:
        del k
        return None


def examples(network: Network) -> np.ndarray:
    """Made-up inputs: noise of the mean and deviation that the network expects, or between 0 and 1."""
    rng, first = np.random.default_rng(0), network.blocks[0]
    if isinstance(first, Normalize):
        noise = rng.standard_normal((EXAMPLES, network.in_width))
        return first.mean.numpy() + first.std.numpy() * noise
    return rng.uniform(size=(EXAMPLES, network.in_width))


def residual_and_slopes(
    sigma: Sigma, z: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """z − σ(v) and σ′(v), as they come out in float64."""
    argument = torch.from_numpy(v)
    return z - sigma.forward(argument).numpy(), sigma.derivative(argument).numpy()
