"""Blocks on images whose rows lie innermost: successive ones keep them there, in the cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from certlip.certification.enclosure.apriori import Sizes
from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.frame import rows_in_cache
from certlip.certification.enclosure.side_by_side import side_by_side
from certlip.linalg.rigorous.rounding import norm_up


class InColumns(ABC):
    """A block as it is computed, with `sizes` that bound its error beforehand.

    `numbers` counts those of its largest array per row, `width` those of its result.
    """

    numbers: int
    width: int
    sizes: Sizes

    @abstractmethod
    def columns(self, x: Tensor) -> Tensor:
        """The result for columns x (d, rows), as columns or images with the rows last."""

    def __call__(self, x: np.ndarray) -> Local:
        y, _, deltas = through([self], x)
        return Local(y, deltas[:, 0])


def through(
    blocks: Sequence[InColumns], x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the last of successive blocks gives for x (batch, d), and for each of them, (batch, blocks),
    an upper bound of the norm of its computed input and δ of its result.

    How many rows go through together depends on the blocks alone, so that the same batch gives the same
    result.
    """
    rows = rows_in_cache(max(block.numbers for block in blocks))
    whole, y = torch.from_numpy(x), torch.empty(len(x), blocks[-1].width, dtype=torch.float64)
    norms = np.empty((len(x), len(blocks)))

    def part(own: slice) -> None:
        v = whole[own].T.contiguous()
        for k, block in enumerate(blocks):
            norms[own, k] = norm_up(v.numpy(), axis=0)
            v = block.columns(v).reshape(block.width, -1)
        y[own] = v.T

    side_by_side(part, len(x), rows)
    deltas = [block.sizes.bound(norms[:, k]) for k, block in enumerate(blocks)]
    return y.numpy(), norms, np.stack(deltas, axis=1)
