"""Interval bounds of a whole network, and of its margins on ℓ∞ balls."""

from __future__ import annotations

from collections.abc import Callable
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
from certlip.certification.interval.base import Step, onward, through
from certlip.certification.interval.bounds import MarginBounds
from certlip.certification.interval.convolution import convolution
from certlip.certification.interval.equilibrium import conv_equilibrium, equilibrium
from certlip.certification.interval.margins import split
from certlip.certification.interval.merge import merged
from certlip.certification.interval.moves import group_sort, pooling, resize, window
from certlip.certification.interval.normalize import normalize
from certlip.certification.interval.rectified import rectified
from certlip.certification.interval.residual import conv_residual, residual
from certlip.certification.interval.start import Front, Start
from certlip.errors import UnsupportedError
from certlip.linalg.rigorous import require_ieee
from certlip.linalg.rigorous.ball import Ball

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


class IntervalBounds(MarginBounds):
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
        self.quick, self.width = rectified(self.steps), network.in_width
        self.classes = network.classes
        body, self.margins = split(self.steps)
        self._divide(body)

    def _divide(self, steps: list[Step]) -> None:
        """What comes before the margins, in two: the affine steps at the front, and the others."""
        first = next((i for i, step in enumerate(steps) if not step.linear), len(steps))
        self.front, self.body = Front(steps[:first], self.width), rectified(steps[first:])

    def __call__(self, box: Ball) -> Ball:
        """A box that holds the logits for every x of a box (batch, d); NaN where nothing is proven."""
        return through(self.quick, box)

    def start(self, x: np.ndarray) -> Start:
        """Rows x (batch, d) on their way through the affine steps that come first."""
        return self.front(x)

    def _lower(self, box: Ball, a: np.ndarray) -> np.ndarray:
        return self.margins.lower(onward(self.body, box), a)
