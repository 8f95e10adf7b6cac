"""An equilibrium block as real matrices W, U, G: one of each, or one of each per frequency.

On a torus every operator is the direct sum of its blocks per frequency, so whatever is about all
inputs and depends on the channels alone (multipliers, norms, definiteness) is about each block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.frequencies import Spectrum, chunks


@dataclass(frozen=True)
class Forms:
    """W (…, r·n, r·n), U (…, r·n, ·), G (…, ·, r·n): dense matrices with r = 1, or the real forms of
    complex blocks, a batch of frequencies, with r = 2."""

    W: Ball
    U: Ball
    G: Ball
    n: int

    @classmethod
    def dense(cls, block: Equilibrium) -> Forms:
        return cls(Ball(block.W.numpy()), Ball(block.U.numpy()), Ball(block.G.numpy()), block.n)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """A value per row of W, from one per neuron or channel (n,)."""
        return np.tile(values, self.W.shape[-1] // self.n)


class ByFrequency:
    """The forms of a convolutional block, some frequencies at a time: all at once may not fit in memory."""

    def __init__(self, block: ConvEquilibrium) -> None:
        self.n = block.n
        self.W, self.U, self.G = (
            Spectrum(kernel.numpy(), block.height, block.width)
            for kernel in (block.W, block.U, block.G)
        )

    def __iter__(self) -> Iterator[Forms]:
        widest = max(self.W.rad.size, self.U.rad.size, self.G.rad.size)
        for f in chunks(len(self.W), widest):
            yield Forms(self.W.blocks(f), self.U.blocks(f), self.G.blocks(f), self.n)


def forms_of(block: Equilibrium | ConvEquilibrium) -> Iterable[Forms]:
    """The forms that together are the block; can be iterated over again."""
    return [Forms.dense(block)] if isinstance(block, Equilibrium) else ByFrequency(block)
