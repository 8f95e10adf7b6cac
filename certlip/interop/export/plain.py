"""The layers that torch has none of its own for, in torch alone: their text goes into exported files.

Nothing here may use anything but torch. Layers on images take (n, c, h, w), all others (n, d).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Normalize(nn.Module):
    """y = (x - mean)/std."""

    mean: Tensor
    std: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("std", torch.ones(d))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Segments(nn.Module):
    """One activation for each stretch of coordinates, or of channels."""

    def __init__(self, *parts: tuple[nn.Module, int]) -> None:
        super().__init__()
        self.kinds = nn.ModuleList(kind for kind, _ in parts)
        self.counts = [count for _, count in parts]

    def forward(self, x: Tensor) -> Tensor:
        pieces = zip(self.kinds, x.split(self.counts, dim=1), strict=True)
        return torch.cat([kind(piece) for kind, piece in pieces], dim=1)


class Residual(nn.Module):
    """y = x - 2 W D s(W^T x + b), W (d, k)."""

    def __init__(self, d: int, k: int, activation: nn.Module) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(d, k))
        self.D = nn.Parameter(torch.zeros(k))
        self.b = nn.Parameter(torch.zeros(k))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        s = self.activation(x @ self.W + self.b)
        return x - 2.0 * (s * self.D) @ self.W.T


class ConvResidual(nn.Module):
    """y = x - 2 K^T * (D s(K * x + b)), K (k, c, h, w), the size of the image kept."""

    def __init__(self, shape: tuple[int, ...], padding: str, activation: nn.Module) -> None:
        super().__init__()
        self.K = nn.Parameter(torch.zeros(shape))
        self.D = nn.Parameter(torch.zeros(shape[0]))
        self.b = nn.Parameter(torch.zeros(shape[0]))
        self.mode = padding
        self.activation = activation
        rows, columns = shape[2] - 1, shape[3] - 1
        self.sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)

    def forward(self, x: Tensor) -> Tensor:
        left, right, above, below = self.sides
        v = F.conv2d(F.pad(x, self.sides, mode=self.mode), self.K, self.b)
        s = self.activation(v) * self.D[:, None, None]
        s = F.pad(s, (right, left, below, above), mode=self.mode)
        return x - 2.0 * F.conv2d(s, self.K.transpose(0, 1).flip(2, 3))


class Resize(nn.Module):
    """Zeros appended, or the last coordinates left out."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, self.extra))


class Window(nn.Module):
    """Zeros around an image, cut off where negative, then its phases as channels."""

    def __init__(self, sides: tuple[int, ...], rows: int, columns: int) -> None:
        super().__init__()
        self.sides, self.rows, self.columns = sides, rows, columns

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.sides)
        x = x.unflatten(2, (self.rows, -1)).unflatten(4, (self.columns, -1))
        return x.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)


class GroupSort(nn.Module):
    """Each group of coordinates that lie `stride` apart, the largest first."""

    def __init__(self, group: int, stride: int) -> None:
        super().__init__()
        self.size = (-1, group, stride)

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, self.size).sort(dim=2, descending=True).values.flatten(1)
