"""y = K ∗ x + b on boxes of images: K on the centre, |K| on the radius."""

from __future__ import annotations

import numpy as np

from certlip.blocks import Convolution
from certlip.certification.enclosure.convolution import convolution_map
from certlip.certification.enclosure.near import Near
from certlip.certification.interval.affine import shifted
from certlip.certification.interval.base import Step
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, up


class Kernel(Step):
    """A convolution with stride 1, or its adjoint. Of a row, no entry is off by more than its norm."""

    linear = True

    def __init__(
        self,
        K: np.ndarray,
        height: int,
        width: int,
        padding: str,
        b: np.ndarray | None = None,
        *,
        adjoint: bool = False,
    ) -> None:
        shape = height, width, padding
        self.centre = convolution_map(K, *shape, adjoint=adjoint)
        self.radius = convolution_map(np.abs(K), *shape, adjoint=adjoint)
        self.b = None if b is None else Ball(np.repeat(b, height * width))

    def __call__(self, box: Ball) -> Ball:
        # zeros for what is no number, as products and norms have no place for it
        known = np.isfinite(box.mid).all(axis=1) & np.isfinite(box.radius()).all(axis=1)
        centre = self.centre(Near.exact(box.mid))
        if box.rad is None:
            rad = np.broadcast_to(np.where(known, centre.error, np.nan)[:, None], centre.v.shape)
        else:
            radius = self.radius(Near.exact(box.rad))
            off = np.where(known, up(centre.error + radius.error), np.nan)[:, None]
            rad = up(np.abs(radius.v) + off)  # by frequencies a sum may come out below zero
        y = Ball(centre.v, rad + TINY)
        return y if self.b is None else shifted(y, self.b)


def convolution(block: Convolution) -> list[Step]:
    K, b = block.K.numpy(), block.b.numpy()
    return [Kernel(K, block.height, block.width, block.padding, b)]
