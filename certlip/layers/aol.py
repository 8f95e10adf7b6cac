"""Almost orthogonal layers (AOL), dense and convolutional.

    y = σ(W D x + b),   D = diag(Σ_j |WᵀW|_ij)^{−1/2}                                          (8)
    y = σ(K ∗ D x + b), the same with the autocorrelation of K for WᵀW, D per input channel

Why ‖WD‖₂ ≤ 1: WᵀW ⪯ D⁻² (`layers.dominance`). Source: Prach & Lampert, ECCV 2022; equation number of
Havens et al., 2023. An input without weights has D_ii = 0.
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
from certlip.layers.dominance import correlation_sums, gram_sums
from certlip.layers.image import ConvLayer
from certlip.linalg.operators.stencil import correlate


class AOLDense(LipschitzLayer):
    """An affine layer R^d → R^q of norm at most 1, followed by σ unless that is None.

    Raises:
        InputError: d or q below 1, or an activation with slopes outside of [0, 1].
    """

    def __init__(self, d: int, q: int, activation: ActivationKind | None = None) -> None:
        super().__init__()
        positive_sizes("AOL", d=d, q=q)
        self.activation = activation and checked_activation("AOL", activation)
        self.weight = nn.Parameter(torch.empty(q, d))
        self.bias = nn.Parameter(torch.zeros(q))
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        v = x @ self.derived(lambda: aol_weight(self.weight)).T + self.bias
        return v if self.activation is None else self.activation.forward(v)

    def freeze(self) -> list[Block]:
        W, b = frozen_parameters("AOL", self).values()
        return followed_by(self.activation, Affine((1.0 - NUDGE) * aol_weight(W), b))


class AOLConv(ConvLayer):
    """A convolution of norm at most 1 from c to q channels, followed by σ unless that is None.

    Args:
        c: Channels of the input.
        q: Channels of the output.
        image: (height, width).
        size: Taps of the kernel, (kh, kw) or one number for both.
        padding: `circular` or `zero`.

    Raises:
        InputError: a size below 1, a kernel larger than the image, another padding or activation.
    """

    def __init__(
        self,
        c: int,
        q: int,
        image: tuple[int, int],
        *,
        size: int | tuple[int, int] = 3,
        padding: str = "circular",
        activation: ActivationKind | None = None,
    ) -> None:
        positive_sizes("AOL", c=c, q=q)
        super().__init__("AOL", q, c, image, size, padding)
        self.activation = activation and checked_activation("AOL", activation)
        self.bias = nn.Parameter(torch.zeros(q))

    def forward(self, x: Tensor) -> Tensor:
        K = self.derived(lambda: aol_kernel(self.kernel))
        v = correlate(x, K, self.padding, self.bias)
        return v if self.activation is None else self.activation.forward(v)

    def freeze(self) -> list[Block]:
        K, b = frozen_parameters("AOL", self).values()
        K = (1.0 - NUDGE) * aol_kernel(K)
        convolution = Convolution(K, b, **self.geometry, padding=self.padding)
        return followed_by(self.activation, convolution)


def aol_weight(W: Tensor) -> Tensor:
    """W D of (8), (q, d)."""
    return W * _root(gram_sums(W, torch.ones_like(W[0])))


def aol_kernel(K: Tensor) -> Tensor:
    """K D, (q, c, kh, kw): KᵀK has the autocorrelation of K with its channels exchanged."""
    sums = correlation_sums(K.transpose(0, 1), torch.ones_like(K[0, :, 0, 0]))
    return K * _root(sums)[:, None, None]


def _root(sums: Tensor) -> Tensor:
    """sums^{−1/2}, 0 where a sum is 0."""
    return torch.where(sums > 0, sums.clamp_min(torch.finfo(sums.dtype).tiny).rsqrt(), 0.0)
