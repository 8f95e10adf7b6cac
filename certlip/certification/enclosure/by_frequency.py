"""Convolutions on a torus by frequencies, with a proven error: the same work for any kernel size.

Transform, one product per frequency, transform back (`linalg.planes`). Every step is a matrix product,
whose error is γ_k‖|A|‖‖v‖ at most whatever the order of its sums, with a sum or difference before or
after it, which is one rounding more. The exact maps have known norms: √(HW) forward, √(2/(HW)) backward,
where all frequencies but 0 and H/2 count twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from certlip.certification.enclosure.base import Map
from certlip.certification.enclosure.near import Near
from certlip.certification.enclosure.side_by_side import product
from certlip.linalg.planes import Planes, turns
from certlip.linalg.rigorous.ball import Ball, magnitude
from certlip.linalg.rigorous.frequencies import Spectrum
from certlip.linalg.rigorous.roots import roots_of_unity
from certlip.linalg.rigorous.rounding import TINY, gamma, norm_up, sum_up, up
from certlip.linalg.torus import Torus


class ByFrequency(Map):
    """K ∗ x, or its exact adjoint, for K (o, i, kh, kw) no larger than the torus."""

    def __init__(self, K: np.ndarray, height: int, width: int, *, adjoint: bool = False) -> None:
        self.shape = height, width
        o, i = K.shape[:2]
        self.o, self.i = (i, o) if adjoint else (o, i)
        self.numbers = 4 * max(o, i) * (height // 2 + 1) * width  # a spectrum and its product
        planes = Planes(Torus(height, width), torch.float64, torch.device("cpu"), _roots)
        self.forward, self.back = _forward(planes), _back(planes)
        self.weight = up(planes.weight.numpy())
        self.blocks = _per_frequency(planes, Spectrum(K, height, width), adjoint=adjoint)

    def __call__(self, x: Near) -> Near:
        v, size, error = self._spectrum(x)
        v, size, error = self.back(v, np.minimum(size, _norms(v)), error)
        return Near(v.permute(2, 0, 1, 3).flatten(0, 2).mT.contiguous().numpy(), error)

    def norm_in(self, gam: np.ndarray, x: Near) -> np.ndarray:
        """Upper bound (batch,) of ‖K ∗ x‖_Γ, Γ = diag(gam) per channel (o,): by Parseval, without the way
        back."""
        v, _, error = self._spectrum(x)
        energy = v.square().sum(dim=1).numpy()  # (F, o, batch)
        share = up(self.weight * gam).reshape(1, -1)  # of each channel at each frequency
        total = product(share, energy.reshape(share.shape[1], -1))[0]
        largest = np.sqrt(up(share.max()))
        size = np.sqrt(up(total * (1.0 + 2.0 * gamma(share.size + 8)) + TINY))
        return up(up(size) + up(up(largest) * error)) + TINY

    def _spectrum(self, x: Near) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Planes (F, 2, o, batch) of K ∗ x, and bounds of their norm and error."""
        # a transpose of a matrix first, which is fast
        v = torch.from_numpy(x.v).mT.contiguous().view(self.i, *self.shape, len(x.v))
        v, size, error = self.forward(v.permute(1, 2, 0, 3), norm_up(x.v), x.error)
        return self.blocks(v, size, error)


class _Step:
    """A linear map A of arrays (…, batch) as it is computed.

    ‖A‖ ≤ `norm`, and what is computed for v is within `blur`·‖v‖ of Av.
    """

    def __init__(self, f: Callable[[Tensor], Tensor], norm: float, blur: float) -> None:
        self.f, self.norm, self.blur = f, norm, blur

    def __call__(
        self, v: Tensor, size: np.ndarray, error: np.ndarray
    ) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Av, and bounds (batch,) of its norm and its error, from those of v."""
        own = up(self.blur * size) + TINY
        return self.f(v), up(up(self.norm * size) + own), up(up(self.norm * error) + own)


class _Bound(NamedTuple):
    """`norm` and `blur` of a step."""

    norm: float
    blur: float

    def then(self, other: _Bound) -> _Bound:
        """Those of one step after the other: the second one blurs what was computed by the first."""
        blur = up(up(other.norm * self.blur) + up(other.blur * up(self.norm + self.blur)))
        return _Bound(float(up(self.norm * other.norm)), float(blur))


def _forward(planes: Planes) -> _Step:
    """Half of the frequencies of the rows, which makes at most √H‖x‖ of ‖x‖, then those of the columns."""
    rows = [A[:, :, 0] for A in _turns(planes.height, planes.groups[0])]
    first = _folded(np.sqrt(planes.height), planes.rows, rows)
    then = _folded(np.sqrt(planes.width), planes.columns, _turns(planes.width, planes.groups[1]))
    return _Step(planes.transform, *first.then(then))


def _back(planes: Planes) -> _Step:
    H, W = planes.height, planes.width
    columns = [A / W for A in _turns(W, planes.groups[1])]
    first = _folded(np.sqrt(1.0 / W), [A.mT for A in planes.columns_back], columns)
    # every frequency but 0 and H/2 stands for itself and its conjugate
    rows = [
        A[:, :, 0] * np.where((f == 0) | (2 * f == H), 1.0, 2.0)[:, None, None] / H
        for f, A in zip(
            map(Tensor.numpy, planes.groups[0]), _turns(H, planes.groups[0]), strict=True
        )
    ]
    then = _folded(np.sqrt(2.0 / H), [A.mT for A in planes.rows_back], rows)
    return _Step(planes.inverse, *first.then(then))


def _folded(norm: float, groups: Sequence[Tensor], exact: Sequence[Ball]) -> _Bound:
    """The bound of a product of each group of lines with sums or differences of halves; or of the
    transpose of that. `norm` is that of the exact map, computed."""
    computed = [A.numpy() for A in groups]
    size = _unfolded([np.abs(A) for A in computed])
    off = [magnitude(Ball(A) - B.reshape(*A.shape)) for A, B in zip(computed, exact, strict=True)]
    # the sum of two halves is one rounding more
    terms = max(max(A.shape) for A in computed) + 1
    return _Bound(float(up(norm)), _blur(_size(size), terms, _size(_unfolded(off))))


def _unfolded(sizes: Sequence[np.ndarray]) -> np.ndarray:
    """Entrywise sizes of the whole map, with a line for each line of each group."""
    if len(sizes) == 1:
        return sizes[0]
    return np.concatenate([np.concatenate([A, A], axis=1) for A in sizes])


def _turns(n: int, groups: Sequence[Tensor]) -> list[Ball]:
    """What `turns` gives for each group of frequencies, with the radius of the roots."""
    cos, sin = roots_of_unity(n)
    parts = ((cos.mid, sin.mid), (cos.radius(), sin.radius()))
    turned = [[turns(n, f, *map(torch.from_numpy, part)).numpy() for part in parts] for f in groups]
    return [Ball(mid, np.abs(rad)) for mid, rad in turned]


def _per_frequency(planes: Planes, spectrum: Spectrum, *, adjoint: bool) -> _Step:
    """One product with K̂(f) per frequency; a real form has the rows of |A| + |B| twice."""
    A, B = (torch.from_numpy(part) for part in (spectrum.A, spectrum.B))
    blocks = planes.of_blocks(torch.complex(A, B))
    blocks = (blocks.mT if adjoint else blocks).contiguous()

    def product(x: Tensor) -> Tensor:
        return torch.bmm(blocks, x.flatten(1, 2)).unflatten(1, (2, -1))

    size = _size(up(np.abs(spectrum.A) + np.abs(spectrum.B)))
    error = 2.0 * _size(spectrum.rad)
    return _Step(product, float(up(size + error)), _blur(size, max(blocks.shape[1:]), error))


def _blur(size: float, terms: int, error: float) -> float:
    """γ_k‖|A|‖ for products with A and ‖R‖ for what A itself is off by."""
    return float(up(up(gamma(terms) * size) + error))


def _size(size: np.ndarray) -> float:
    """√(largest row sum · largest column sum) of nonnegative matrices: bounds their ‖·‖₂."""
    return float(up(np.sqrt(up(sum_up(size, axis=-1).max() * sum_up(size, axis=-2).max()) + TINY)))


def _norms(v: Tensor) -> np.ndarray:
    """Upper bounds of the norms of v (…, batch) over all axes but the last."""
    return norm_up(v.reshape(-1, v.shape[-1]).numpy(), axis=0)


def _roots(n: int) -> tuple[Tensor, Tensor]:
    cos, sin = roots_of_unity(n)
    return torch.from_numpy(cos.mid), torch.from_numpy(sin.mid)
