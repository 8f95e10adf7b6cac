"""W max(x, 0) + b and Wx + b on boxes in single precision, where most of the time goes.

Weights are rounded as well. With W′, b′ the floats next to W and b, d a bound of |W − W′|, δ = 2⁴u and
S ≥ max {|W′| + d, d/δ}, every x of a box c ± r has

    |fl(W′c + b′) − (Wx + b)| ≤ γ_{k+1}(|W′||c| + |b′|) + d|c| + (|W′| + d)r + |b − b′|
                              ≤ S(r + (γ_{k+1} + δ)|c|) + γ_{k+1}|b′| + |b − b′| :

two products, as in double precision. What the right-hand side loses to rounding is made good in S and in
what stands beside it, beforehand.
"""

from __future__ import annotations

import numpy as np

from certlip.certification.interval.affine import Linear
from certlip.certification.interval.relu import rectify
from certlip.certification.interval.single.base import Single, SingleStep
from certlip.linalg.rigorous.rounding import sum_up, up
from certlip.linalg.rigorous.single import TINY, U, nearest, rounded_up, single_gamma

#: δ: room for d ≤ u|W|, and for what W was off by before.
DELTA = 16.0 * U


class Product(SingleStep):
    """Wx + b."""

    @np.errstate(over="ignore", invalid="ignore")
    def __init__(self, step: Linear) -> None:
        self.step, W, b = step, step.W, step.b
        k = W.shape[1]
        mid, off = nearest(W.mid)
        d = up(off + W.radius())
        S = np.maximum(up(np.abs(mid.astype(np.float64)) + d), up(d / DELTA))
        bias, off = nearest(b.mid)
        self.share = float(rounded_up(np.array(single_gamma(k + 1) + DELTA)))
        shift = up(up(np.abs(b.mid) + off) * single_gamma(k + 1)) + up(off + b.radius())
        # nonnegative sums of k terms, each rounded a few times on its way
        room = 1.0 + 2.0 * single_gamma(k + 8)
        self.mid_T, self.size_T = np.ascontiguousarray(mid.T), rounded_up(up(S.T * room))
        floor = rounded_up(up(up(shift + TINY * (1.0 + sum_up(S))) * room))
        self.bias, self.floor = (np.repeat(a, step.repeat) for a in (bias, floor))

    def __call__(self, box: Single) -> Single:
        left = np.abs(box.mid)
        left *= self.share
        left += box.rad
        return self.widened(Single(box.mid, left))

    def widened(self, box: Single) -> Single:
        """The same where (γ_{k+1} + δ)|c| has joined the radius."""
        mid = self.step.sums(box.mid, self.mid_T)
        mid += self.bias
        rad = self.step.sums(box.rad, self.size_T)
        rad += self.floor
        return Single(mid, rad)


class Rectify(SingleStep):
    """ReLU, and the product behind it, if there is one: it has the numbers in the cache."""

    def __init__(self, product: Product | None = None) -> None:
        self.product = product

    def __call__(self, box: Single) -> Single:
        rectify(box.mid, box.rad, 0.0 if self.product is None else self.product.share)
        return box if self.product is None else self.product.widened(box)
