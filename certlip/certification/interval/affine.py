"""y = Wx + b on boxes: W on the centre, |W| on the radius."""

from __future__ import annotations

import numpy as np

from certlip.blocks import Affine
from certlip.certification.interval.base import Step
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U, gamma, norm_up


class Matrix(Step):
    """|y − (Wc + b)| ≤ |W|r, and the rounding of Wc + b: two products.

    |fl(Wc) − Wc| ≤ γ_k|W||c| in any order of the sums, so that γ_k|c| joins the radius before its product.
    Of a point, without radius, γ_k‖w_i‖‖c‖ is enough, and one product. W and b may be balls: what they are
    off by is bounded as well.
    """

    linear = True

    def __init__(self, W: np.ndarray | Ball, b: np.ndarray | Ball) -> None:
        W, b = (a if isinstance(a, Ball) else Ball(a) for a in (W, b))
        self.W, self.b = W, b
        self.k = W.shape[1]
        self.mid_T = W.mid.T
        self.size_T = np.abs(W.mid).T if W.rad is None else (np.abs(W.mid) + W.rad).T
        self.rad_T = None if W.rad is None else W.rad.T
        # nonnegative sums of k terms, each rounded a few times on its way
        self.factor = 1.0 + 2.0 * gamma(self.k + 8)
        self.rows = norm_up(self.size_T, axis=0)

    def __call__(self, box: Ball) -> Ball:
        mid = box.mid @ self.mid_T
        if box.rad is None and self.rad_T is None:
            off = gamma(self.k) * (norm_up(box.mid)[:, None] * self.rows)
            return shifted(Ball(mid, off * self.factor + TINY), self.b)
        left = np.abs(box.mid)
        spread = None if self.rad_T is None else left @ self.rad_T
        left *= gamma(self.k)
        left += box.radius()
        left += TINY  # γ|c| may underflow where c is denormal, and |W| be large
        rad = left @ self.size_T
        if spread is not None:
            rad += spread
        rad *= self.factor
        rad += TINY
        return shifted(Ball(mid, rad), self.b)


def shifted(box: Ball, b: Ball) -> Ball:
    """The box moved by b (d,): one rounding per entry."""
    mid = box.mid + b.mid
    rad = np.abs(mid)
    rad *= U
    rad += box.radius()
    if b.rad is not None:
        rad += b.rad
    rad *= 1.0 + 8.0 * U
    rad += TINY
    return Ball(mid, rad)


def affine(block: Affine) -> list[Step]:
    return [Matrix(block.W.numpy(), block.b.numpy())]
