"""LBENs on images, checkpoints of the code of Havens et al. (NeurIPS 2023): of kernels, then dense.

Entries `mon_conv.linear_module.` kM, kV (n, n, H, H), kU (n, c, H, H), kG (c, n, H, H), kLambda and
bias_weights (1, n, 1, 1), and `mon_dense.linear_module.` M, V (N, N), U (N, D), G (D, N), Lambda and
bias_weights (N), with pooling between the two:

    W = I − Ψ(GᵀG/2 + ΛUUᵀΛ/2 + V′ + 10⁻⁸I + (M − Mᵀ)/2),   Λ = |Lambda|,  Ψ = Λ⁻¹
    z = σ(Wz + Ux + bias),  y = Gz,   σ = id on the first c (D) units and relu on the others

with V′ = VVᵀ for kernels, but V′ = V·V for matrices, which is no Gram matrix once V is not symmetric. Where
Λ is 0 so are Ψ and the entry of I: the row of W is zero. The dense layer takes the features and zeros up
to D; its first coordinates are the logits, and how many is not stored: `--set classes=10`.

What the code does is what is frozen, in float64: whether (10) holds for L = 1 is for the proof to say. A
unit whose rows of W and U are zero is a constant; it is folded into the biases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from certlip.blocks import ConvEquilibrium, Equilibrium, Network, Origin, Sigma
from certlip.blocks.activations import Identity, ReLU
from certlip.errors import InputError
from certlip.interop.havens_2023 import (
    CIFAR10_MEANS,
    check_values,
    classes_of,
    first_blocks,
    pooled,
    read_tensors,
)
from certlip.interop.reading import converted, parameters
from certlip.linalg.torus import Torus

NAME = "lben-2023"
EPS = 1e-8
SHAPES = {
    "mon_conv.linear_module.kM": ("n", "n", "H", "H"),
    "mon_conv.linear_module.kV": ("n", "n", "H", "H"),
    "mon_conv.linear_module.kU": ("n", "c", "H", "H"),
    "mon_conv.linear_module.kLambda": (1, "n", 1, 1),
    "mon_conv.linear_module.kG": ("c", "n", "H", "H"),
    "mon_conv.linear_module.bias_weights": (1, "n", 1, 1),
    "mon_dense.linear_module.M": ("N", "N"),
    "mon_dense.linear_module.V": ("N", "N"),
    "mon_dense.linear_module.U": ("N", "D"),
    "mon_dense.linear_module.Lambda": ("N",),
    "mon_dense.linear_module.G": ("D", "N"),
    "mon_dense.linear_module.bias_weights": ("N",),
}


def read_lben_2023(path: Path, values: dict[str, float]) -> Network:
    """The network of the file, with its normalisation as the first block.

    Args:
        values: `classes`; `mean` and `std`, or `mean.0` … `std.2` per colour, if not those of CIFAR-10.

    Raises:
        InputError: unreadable or refused, an entry is missing or malformed, or a value is not given.
    """
    tensors = read_tensors(path)
    check_values(path, NAME, values, {"classes": "10"})
    M, V, U, lam, G, b, M2, V2, U2, lam2, G2, b2 = parameters(path, tensors, SHAPES)
    try:
        c, side, classes = U.shape[1], U.shape[2], classes_of(values)
        pooling, features = pooled(c, side), G2.shape[0]
        if pooling.out_width > features or classes > features:
            raise InputError(
                f"the dense layer takes {features} features: expected at least the {pooling.out_width} "
                f"of the images and the {classes} classes"
            )
        on_images = _on_torus(M, V, U, lam.flatten().abs(), G, b.flatten(), Torus(side, side))
        dense = _dense(M2, V2, U2, lam2.abs(), G2, b2)
        dense = replace(dense, U=dense.U[:, : pooling.out_width].contiguous())
        dense = replace(
            dense, G=dense.G[:classes].contiguous(), b_y=dense.b_y[:classes].contiguous()
        )
        blocks = first_blocks(values, CIFAR10_MEANS, side, c)
        return converted(path, NAME, values, [*blocks, on_images, pooling, dense])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _on_torus(
    M: Tensor, V: Tensor, U: Tensor, lam: Tensor, G: Tensor, b: Tensor, torus: Torus
) -> ConvEquilibrium:
    V, M_hat, U_hat, G_hat = (torus.spectrum(kernel) for kernel in (V, M, U, G))
    W = torus.kernel(weight(M_hat, V @ V.mH, U_hat, lam, G_hat))
    W[lam == 0.0] = 0.0  # the transform of zeros is zero but for rounding
    parts = _Parts(W, U, G, lam, b, len(G)).folded()
    sigma = parts.sigma(torus.pixels)
    b_y = parts.b_y
    return ConvEquilibrium(
        parts.W, parts.U, parts.G, parts.b, b_y, sigma, torus.height, torus.width, parts.origin()
    )


def _dense(M: Tensor, V: Tensor, U: Tensor, lam: Tensor, G: Tensor, b: Tensor) -> Equilibrium:
    parts = _Parts(weight(M, V @ V, U, lam, G), U, G, lam, b, len(G)).folded()
    return Equilibrium(
        parts.W, parts.U, parts.G, parts.b, parts.b_y, parts.sigma(1), parts.origin()
    )


def weight(M: Tensor, VV: Tensor, U: Tensor, lam: Tensor, G: Tensor) -> Tensor:
    """W (…, n, n) of the blocks of one matrix, or of every frequency."""
    acts = lam > 0.0
    psi = torch.where(acts, 1.0 / lam, 0.0)
    lam_U = lam[:, None] * U
    R = (G.mH @ G + lam_U @ lam_U.mH) / 2.0 + VV + (M - M.mH) / 2.0
    R = R + EPS * torch.eye(len(lam), dtype=R.dtype)
    return torch.diag(acts.to(R.dtype)) - psi[:, None] * R


@dataclass(frozen=True)
class _Parts:
    """W, U, G (…, with or without taps), Λ and b (n) of a layer whose first `kept` units are linear."""

    W: Tensor
    U: Tensor
    G: Tensor
    lam: Tensor
    b: Tensor
    kept: int
    offset: Tensor | None = None

    @property
    def b_y(self) -> Tensor:
        return torch.zeros(len(self.G), dtype=self.G.dtype) if self.offset is None else self.offset

    def folded(self) -> _Parts:
        """Without units that are constants: what they give goes into the biases."""
        still = ~(self.W.flatten(1).any(dim=1) | self.U.flatten(1).any(dim=1))
        still[: self.kept] = False
        value = self.b[still].relu()
        W, G = (a.flatten(2).sum(dim=2) if a.ndim > 2 else a for a in (self.W, self.G))
        live = ~still
        return replace(
            self,
            W=self.W[live][:, live],
            U=self.U[live],
            G=self.G[:, live],
            lam=self.lam[live],
            b=(self.b + W[:, still] @ value)[live],
            offset=self.b_y + G[:, still] @ value,
        )

    def sigma(self, pixels: int) -> Sigma:
        linear = Sigma.of(Identity(), self.kept * pixels)
        return Sigma.concatenate([linear, Sigma.of(ReLU(), (len(self.b) - self.kept) * pixels)])

    def origin(self) -> Origin | None:
        """The multipliers of the source, where there are any for all units."""
        if not bool((self.lam > 0.0).all()):
            return None
        return Origin("lben", {"lip": 1.0}, {"psi": 1.0 / self.lam})
