"""Interval bounds of a whole network, and of its margins on ℓ∞ balls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

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
    Pooling,
    Residual,
    Resize,
    Window,
)
from certlip.certification.interval.activation import activation
from certlip.certification.interval.affine import affine
from certlip.certification.interval.base import Step
from certlip.certification.interval.box import around
from certlip.certification.interval.convolution import convolution
from certlip.certification.interval.equilibrium import conv_equilibrium, equilibrium
from certlip.certification.interval.margins import split
from certlip.certification.interval.merge import merged
from certlip.certification.interval.moves import group_sort, pooling, resize, window
from certlip.certification.interval.normalize import normalize
from certlip.certification.interval.residual import conv_residual, residual
from certlip.errors import UnsupportedError
from certlip.linalg.rigorous import require_ieee
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U, up

#: The steps of a block, by its kind. To add one: its file, a line here.
INTERVALS: dict[type[Block], Callable[[Any], list[Step]]] = {
    Normalize: normalize,
    Affine: affine,
    Activation: activation,
    Residual: residual,
    Equilibrium: equilibrium,
    Convolution: convolution,
    ConvResidual: conv_residual,
    ConvEquilibrium: conv_equilibrium,
    Pooling: pooling,
    Resize: resize,
    Window: window,
    GroupSort: group_sort,
}

#: Numbers of the boxes that go through a network together, and the fewest rows of a matrix product.
WORKING, FEWEST = 2**17, 32


class IntervalBounds:
    """Bounds a frozen network on boxes of raw inputs. No proof of another kind is used.

    Raises:
        UnsupportedError: a block without a rule, or an equilibrium whose |W| has no proven spectral
            radius below 1; the message names it.
    """

    def __init__(self, network: Network) -> None:
        require_ieee()
        steps: list[Step] = []
        for k, block in enumerate(network.blocks):
            rule = INTERVALS.get(type(block))
            try:
                if rule is None:
                    raise UnsupportedError("no interval bounds for this kind")
                steps += rule(block)
            except UnsupportedError as error:
                raise UnsupportedError(f"block {k} ({block.kind}): {error}") from None
        self.steps = merged(steps)
        body, self.margins = split(self.steps)
        first = next((i for i, step in enumerate(body) if not step.linear), len(body))
        self.prefix, self.body = body[:first], body[first:]

    def __call__(self, box: Ball) -> Ball:
        """A box that holds the logits for every x of a box (batch, d); NaN where nothing is proven."""
        return through(self.steps, box)

    def start(self, x: np.ndarray) -> Start:
        """Rows x (batch, d) on their way through the affine steps that come first."""
        return linear_start(self.prefix, x)

    def lower(self, start: Start, r: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Lower bounds (batch, classes) of f_a − f_j for ‖x′ − x‖∞ ≤ r (batch,), ∞ where j = a.

        NaN, or −∞, where nothing is proven.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.concatenate([self._lower(box, a[rows]) for rows, box in start.within(r)])

    def _lower(self, box: Ball, a: np.ndarray) -> np.ndarray:
        """The same for boxes of what goes into the body, which may be overwritten."""
        return self.margins.lower(onward(self.body, box), a)


class Start:
    """What r ↦ the box of the first affine steps is made of: radii grow linearly with r.

    Rows go in parts whose boxes stay in the cache on their way through the network.

    Args:
        unit: (1, features): the radius that an input radius of 1 gives, rounded up.
        parts: Rows of the batch, and the box of x itself, whose radius is overwritten.
    """

    def __init__(self, unit: np.ndarray, parts: list[tuple[slice, Ball]]) -> None:
        self.unit = up(unit)  # beforehand what the product and the sum of `within` may lose
        self.parts = [(rows, box.mid, box.radius()) for rows, box in parts]
        for _, _, own in self.parts:
            own *= 1.0 + 4.0 * U
            own += TINY

    def within(self, r: np.ndarray) -> Iterator[tuple[slice, Ball]]:
        """The boxes for ‖x′ − x‖∞ ≤ r (batch,), and whose they are."""
        for rows, mid, own in self.parts:
            rad = np.multiply(r[rows, None], self.unit, out=np.empty_like(mid))
            rad += own
            yield rows, Ball(mid.copy("K"), rad)


def linear_start(steps: Sequence[Step], x: np.ndarray) -> Start:
    """Rows x (batch, d) through affine steps, and |A|1 for their matrix A, rounded up."""
    unit = through(steps, around(np.zeros((1, x.shape[1])), np.ones(1))).radius()
    step = max(FEWEST, WORKING // max(unit.shape[1], 1))
    parts = [slice(first, first + step) for first in range(0, max(len(x), 1), step)]
    return Start(unit, [(rows, through(steps, Ball(x[rows]))) for rows in parts])


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def through(steps: Sequence[Step], box: Ball) -> Ball:
    """The box behind some steps."""
    for step in steps[:1]:
        box = step(box)
    return onward(steps[1:], box)


def onward(steps: Sequence[Step], box: Ball) -> Ball:
    """The same, and the arrays of `box` may be overwritten."""
    for step in steps:
        box = step.onward(box)
    return box
