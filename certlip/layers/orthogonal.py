"""Orthogonal layers by the Cayley transform, dense and convolutional.

For a tall Z = [X; Y] (X square):  A = X − Xᴴ + YᴴY,  Q = [(I − A)(I + A)⁻¹; −2Y(I + A)⁻¹],  QᴴQ =
I. A + Aᴴ = 2YᴴY ⪰ 0, so I + A is always invertible. A convolution with circular padding is one complex
matrix per frequency, and each of them is transformed: the result is a real kernel of the size of the
image. Source: Trockman & Kolter, ICLR 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Affine, Block, Convolution
from certlip.blocks.activations import ActivationKind
from certlip.layers.base import (
    NUDGE,
    LipschitzLayer,
    checked_activation,
    followed_by,
    frozen_parameters,
    positive_sizes,
)
from certlip.layers.image import ConvLayer
from certlip.linalg.operators import Circulant
from certlip.linalg.solve import solve


def cayley(Z: Tensor) -> Tensor:
    """Q (…, m, n), real or complex, with orthonormal columns for Z of that shape, m ≥ n; with
    orthonormal rows if m < n."""
    m, n = Z.shape[-2:]
    if m < n:
        return cayley(Z.mH).mH
    X, Y = Z[..., :n, :], Z[..., n:, :]
    eye = torch.eye(n, dtype=Z.dtype, device=Z.device)
    A = X - X.mH + Y.mH @ Y
    # (I − A)(I + A)⁻¹ and Y(I + A)⁻¹ by one factorization of (I + A)ᴴ
    right = solve((eye + A).mH, torch.cat([(eye - A).mH, -2.0 * Y.mH], dim=-1))
    return right.mH


class OrthogonalDense(LipschitzLayer):
    """An affine layer R^d → R^q with orthonormal rows or columns, followed by σ unless that is None.

    Raises:
        InputError: d or q below 1, or an activation with slopes outside of [0, 1].
    """

    def __init__(self, d: int, q: int, activation: ActivationKind | None = None) -> None:
        super().__init__()
        positive_sizes("orthogonal", d=d, q=q)
        self.activation = activation and checked_activation("orthogonal", activation)
        self.weight = nn.Parameter(torch.empty(q, d))
        self.bias = nn.Parameter(torch.zeros(q))
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        v = x @ self.derived(lambda: cayley(self.weight)).T + self.bias
        return v if self.activation is None else self.activation.forward(v)

    def freeze(self) -> list[Block]:
        W, b = frozen_parameters("orthogonal", self).values()
        return followed_by(self.activation, Affine((1.0 - NUDGE) * cayley(W), b))


class OrthogonalConv(ConvLayer):
    """A convolution from c to q channels, circular padding, with orthonormal rows or columns, followed by
    σ unless that is None.

    Args:
        c: Channels of the input.
        q: Channels of the output.
        image: (height, width).
        size: Taps of the trained kernel; the kernel of the layer has the size of the image.

    Raises:
        InputError: a size below 1, a kernel larger than the image, or another activation.
    """

    def __init__(
        self,
        c: int,
        q: int,
        image: tuple[int, int],
        *,
        size: int | tuple[int, int] = 3,
        activation: ActivationKind | None = None,
    ) -> None:
        positive_sizes("orthogonal", c=c, q=q)
        super().__init__("orthogonal", q, c, image, size)
        self.activation = activation and checked_activation("orthogonal", activation)
        self.bias = nn.Parameter(torch.zeros(q))

    def forward(self, x: Tensor) -> Tensor:
        Q = self.derived(lambda: cayley(self.torus.spectrum(self.kernel)))
        v = self.on_images(Circulant(Q, self.torus), x) + self.bias[:, None, None]
        return v if self.activation is None else self.activation.forward(v)

    def freeze(self) -> list[Block]:
        K, b = frozen_parameters("orthogonal", self).values()
        Q = self.torus.kernel(cayley(self.torus.spectrum(K)))
        convolution = Convolution((1.0 - NUDGE) * Q, b, **self.geometry, padding=self.padding)
        return followed_by(self.activation, convolution)
