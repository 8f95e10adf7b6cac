"""Interval bounds of a whole network, and of its margins on ℓ∞ balls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from certlip.certification.interval.moves import group_sort, pooling, resize, window
from certlip.certification.interval.normalize import normalize
from certlip.certification.interval.residual import conv_residual, residual
from certlip.errors import UnsupportedError
from certlip.linalg.rigorous import require_ieee
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U

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
        self.steps = steps
        body, self.margins = split(steps)
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
            return self.margins.lower(through(self.body, start.within(r)), a)


class Start:
    """What r ↦ the box of the first affine steps is made of: radii grow linearly with r.

    Args:
        centre: The box of x itself.
        unit: (1, features): the radius that an input radius of 1 gives, rounded up.
    """

    def __init__(self, centre: Ball, unit: np.ndarray) -> None:
        self.centre, self.unit = centre, unit

    def within(self, r: np.ndarray) -> Ball:
        """The box for ‖x′ − x‖∞ ≤ r."""
        rad = r[:, None] * self.unit + self.centre.radius()
        return Ball(self.centre.mid, rad * (1.0 + 8.0 * U) + TINY)


def linear_start(steps: Sequence[Step], x: np.ndarray) -> Start:
    """Rows x (batch, d) through affine steps, and |A|1 for their matrix A, rounded up."""
    unit = around(np.zeros((1, x.shape[1])), np.ones(1))
    return Start(through(steps, Ball(x)), through(steps, unit).radius())


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def through(steps: Sequence[Step], box: Ball) -> Ball:
    """The box behind some steps."""
    for step in steps:
        box = step(box)
    return box
