"""The transform of `torus` with real and imaginary parts as two planes: real matrix products alone.

Pixels are (H, W, …), spectra (F, 2, …) real, whatever else there is; the frequencies of the half spectrum
come in the order `order`. A side of even length n is folded first: the even frequencies of x are those of
x[t] + x[t + n/2], the odd ones those of x[t] − x[t + n/2], which halves the work. That is the first step of
a fast transform; what is left is fastest as matrix products at these sizes. A complex product per
frequency is one real product with the blocks of `of_blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from certlip.linalg.torus import Torus, angles, multiplicity

CHUNK = 32  # frequencies


def roots(n: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2πk/n for k < n, as the library computes them."""
    theta = angles(n, 2, 0)[:, 1]
    return theta.cos(), theta.sin()


class Planes:
    """Both transforms on one torus, in one precision; see `planes_of`.

    `groups` are the frequencies of the rows and of the columns, even and odd ones apart where their number
    is even; `rows`, `columns`, `rows_back`, `columns_back` hold one matrix for each group.
    """

    def __init__(
        self,
        torus: Torus,
        dtype: torch.dtype,
        device: torch.device,
        roots: Callable[[int], tuple[Tensor, Tensor]] = roots,
    ) -> None:
        H, W = torus.height, torus.width
        self.height, self.width, self.half = H, W, H // 2 + 1
        self.groups = first, second = _groups(H, self.half), _groups(W, W)
        f, g = torch.cat(first), torch.cat(second)
        #: Which frequency of the half spectrum each of the planes' is, (F,).
        self.order = (f[:, None] * W + g).flatten().to(device)
        twice = multiplicity(H, torch.float64, torch.device("cpu"))
        #: How many pixels' worth of energy each frequency stands for (Parseval), (F, 1).
        self.weight = (twice[f] / torus.pixels).repeat_interleave(W)[:, None].to(device, dtype)

        def moved(A: Tensor) -> Tensor:
            return A.contiguous().to(device, dtype)

        rows = [turns(H, group, *roots(H))[:, :, 0] for group in first]  # of a real x
        self.rows = [moved(A.flatten(0, 1)) for A in rows]
        back = [twice[group, None, None] * A / H for A, group in zip(rows, first, strict=True)]
        self.rows_back = [moved(A.flatten(0, 1).mT) for A in back]
        columns = [turns(W, group, *roots(W)).flatten(2).flatten(0, 1) for group in second]
        self.columns = [moved(A) for A in columns]
        self.columns_back = [moved(A.mT / W) for A in columns]
        # a matrix for each row of frequencies: one batched product
        self._columns, self._columns_back = (
            torch.stack(group).repeat(self.half, 1, 1)
            for group in (self.columns, self.columns_back)
        )

    def transform(self, x: Tensor) -> Tensor:
        """x̂ (F, 2, …) of pixels x (H, W, …)."""
        rest, m = x.shape[2:], x.shape[2:].numel()
        x = _folded(x[None, None])[0, :, 0].flatten(2)
        half = _folded(_stacked(self.rows, x).view(self.half, 2, self.width, m))
        count, size = self._columns.shape[:2]
        x = torch.bmm(self._columns, half.view(count, size, m))
        return x.view(len(self.order), 2, *rest)

    def inverse(self, x: Tensor) -> Tensor:
        """Pixels (H, W, …) of a spectrum x (F, 2, …)."""
        rest, m = x.shape[2:], x.shape[2:].numel()
        count, size = self._columns_back.shape[:2]
        half = torch.bmm(self._columns_back, x.reshape(count, size, m))
        half = half.view(self.half, count // self.half, 2, size // 2, m)
        half = _unfolded(half).view(2 * self.half, self.width * m)
        parts = half.split([A.shape[1] for A in self.rows_back])
        x = _stacked(self.rows_back, parts)
        x = x.view(1, len(parts), 1, len(x) // len(parts), self.width * m)
        return _unfolded(x).view(self.height, self.width, *rest)

    def of_blocks(self, K: Tensor) -> Tensor:
        """[[Re K, −Im K], [Im K, Re K]], (F, 2o, 2i), of the blocks (F, o, i) of the half spectrum."""
        K = K[self.order]
        rows = torch.cat([K.real, -K.imag], dim=2), torch.cat([K.imag, K.real], dim=2)
        return torch.cat(rows, dim=1)

    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        """⟨x, y⟩ of the real images with these spectra (F, …, batch), per row, (batch,)."""
        # a few frequencies at a time, whose products stay in the cache
        parts = zip(x.split(CHUNK), y.split(CHUNK), self.weight.split(CHUNK), strict=True)
        sums = [(weight * (a * b).flatten(1, -2).sum(dim=1)).sum(dim=0) for a, b, weight in parts]
        return torch.stack(sums).sum(dim=0)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is cached may be in a graph later on
def planes_of(torus: Torus, dtype: torch.dtype, device: torch.device) -> Planes:
    """The transforms on this torus, made once."""
    return Planes(torus, dtype, device)


def _groups(n: int, count: int) -> list[Tensor]:
    """The first `count` of n frequencies, even and odd ones apart where n is even."""
    f = torch.arange(count)
    return [f] if n % 2 else [f[::2], f[1::2]]


def turns(n: int, group: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """e^{−2πift/n} as real matrices (f, 2, 2, t), for the t that are left after folding."""
    k = torch.outer(group, torch.arange(n if n % 2 else n // 2)) % n
    cos, sin = cos[k], sin[k]
    return torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)


def _stacked(matrices: Sequence[Tensor], parts: Iterable[Tensor]) -> Tensor:
    """The products of matrices and parts, below each other; without a copy of them."""
    pairs = list(zip(matrices, parts, strict=True))
    stacked = pairs[0][1].new_empty(sum(len(A) for A in matrices), pairs[0][1].shape[1])
    for (A, part), out in zip(pairs, stacked.split([len(A) for A in matrices]), strict=True):
        torch.mm(A, part, out=out)
    return stacked


def _folded(x: Tensor) -> Tensor:
    """Sums and differences of the halves of x (a, p, n, …): (a, 2, p, n/2, …), or x if n is odd."""
    n = x.shape[2]
    if n % 2:
        return x[:, None]
    one, other = x[:, :, : n // 2], x[:, :, n // 2 :]
    folded = x.new_empty(len(x), 2, *one.shape[1:])
    torch.add(one, other, out=folded[:, 0])
    torch.sub(one, other, out=folded[:, 1])
    return folded


def _unfolded(x: Tensor) -> Tensor:
    """The inverse layout of `_folded`: x (a, k, p, n/k, m) to (a, p, n, m)."""
    if x.shape[1] == 1:
        return x[:, 0]
    a, _, p, n, m = x.shape
    whole = x.new_empty(a, p, 2 * n, m)
    torch.add(x[:, 0], x[:, 1], out=whole[:, :, :n])
    torch.sub(x[:, 0], x[:, 1], out=whole[:, :, n:])
    return whole
