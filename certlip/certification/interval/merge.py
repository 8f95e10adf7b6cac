"""Convolutions merged with the moves around them: a stride or a padding costs no pass of its own.

A block of stride s is a window, a convolution on phases and another window; all that is read and kept is a
choice of numbers, and the same products remain.
"""

from __future__ import annotations

import numpy as np

from certlip.certification.interval.base import Step
from certlip.certification.interval.convolution import Gathered
from certlip.certification.interval.moves import Move


def merged(steps: list[Step]) -> list[Step]:
    """The same function in fewer steps."""
    found: list[Step] = []
    for step in steps:
        last = found[-1] if found else None
        new = None
        if isinstance(last, Move) and isinstance(step, Gathered):
            new = _read_through(last, step)
        elif isinstance(last, Gathered) and isinstance(step, Move):
            new = _kept(last, step)
        if new is None:
            found.append(step)
        else:
            found[-1] = new
    return found


def _read_through(move: Move, step: Gathered) -> Gathered:
    """`step` behind `move`, reading what the move reads."""
    source = np.append(move.source(), move.width)
    return Gathered(step.W.mid, step.b.mid, source[step.reads], move.width)


def _kept(step: Gathered, move: Move) -> Gathered | None:
    """`move` behind `step`, if it keeps the same pixels of every channel, and adds none."""
    channels, pixels = len(step.W.mid), step.reads.shape[1]
    source = move.source()
    if len(source) % channels:
        return None
    kept = source.reshape(channels, -1)
    first = kept[0]
    if (first >= pixels).any() or (kept != first + pixels * np.arange(channels)[:, None]).any():
        return None
    return Gathered(step.W.mid, step.b.mid, step.reads[:, first], step.width)
