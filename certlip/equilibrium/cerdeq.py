"""Equilibrium layers whose boxes exist by construction: CerDEQ and its variants, dense or on a torus.

    z = σ(Wz + Ux + b_z),   ‖|W|‖₂ ≤ s < 1 or |W|v ≤ sv, v > 0

so that the adjoint equilibrium, of twice the size, exists and is the fixed point of boxes. W depends on
a free A and a trained scale s = MOST·sigmoid(t). A kernel (n, n, k, k) is treated as the matrix (n,
nk²) of its rows.

Source: Li, Wang & Lin, ICML 2022; the variants are those of its ablation. `ibp-mondeq` bounds the rows
of |W| in the manner of Wei & Kolter, ICLR 2022. Nothing is trusted: `certify` proves |W|v ≤ θv on the
frozen numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from certlip.blocks import ConvEquilibrium, Equilibrium, Sigma, equilibrium_block
from certlip.blocks.activations import ReLU
from certlip.blocks.dense_form import kernel_matrix
from certlip.errors import InputError
from certlip.linalg.boxes import Boxes
from certlip.linalg.gram import gram_norm
from certlip.linalg.operators import Dense, Operator
from certlip.linalg.operators.paired import Paired
from certlip.linalg.operators.stencil import PADDINGS
from certlip.linalg.structure import structure_on
from certlip.linalg.torus import Torus
from certlip.solvers import PeacemanRachford, equilibrium

#: The largest s, and t at the start: s is 0.87 there.
MOST, START = 0.99, 2.0
#: Steps of the orthogonalization, each of order 5.
STEPS = 4


def bjorck(A: Tensor, steps: int = STEPS) -> Tensor:
    """A (m, k) with singular values moved towards 1 by A ← 15/8 A − 5/4 A(AᵀA) + 3/8 A(AᵀA)².

    ‖A‖₂ is first divided out where it is above 1 (the iteration needs less than √(7/3)); σ ↦ 15/8 σ −
    5/4 σ³ + 3/8 σ⁵ increases on [0, 1] and has the fixed points 0 and 1, so that no norm ends above 1.
    """
    A = A / _norm(A)
    wide = A.shape[0] < A.shape[1]
    for _ in range(steps):
        G = A @ A.mT if wide else A.mT @ A
        eye = torch.eye(len(G), dtype=A.dtype, device=A.device)
        P = 15 / 8 * eye - 5 / 4 * G + 3 / 8 * G @ G
        A = P @ A if wide else A @ P
    return A


def _norm(A: Tensor) -> Tensor:
    """An upper bound of ‖A‖₂, > 0."""
    return gram_norm(A).clamp_min(torch.finfo(A.dtype).tiny)


def _bjorck(rows: Tensor) -> Tensor:
    return bjorck(rows) / rows.shape[1] ** 0.5


def _spectral(rows: Tensor) -> Tensor:
    return rows / (_norm(rows) * rows.shape[1] ** 0.5)


def _weight(rows: Tensor) -> Tensor:
    norm = rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    return rows / (norm * rows.shape[1] ** 0.5)


def _rows(rows: Tensor) -> Tensor:
    return rows / rows.abs().sum(dim=1, keepdim=True).clamp_min(1.0)


#: From the rows (n, m) of A to those of W/s. The first three have ‖|W/s|‖₂ ≤ 1: with ‖Â‖₂ ≤ 1, or n rows of
#: norm 1, ‖|Â|‖₂ ≤ ‖Â‖_F ≤ √n; taps that are added up count at most √m·‖·‖ for m = nk².
NORMALISED: dict[str, Callable[[Tensor], Tensor]] = {
    "bjorck": _bjorck,
    "spectral-norm": _spectral,
    "weight-norm": _weight,
    "ibp-mondeq": _rows,
}


class CerDEQ(nn.Module):
    """A trainable layer R^d → R^n, x ↦ z; on a torus d and n are channels.

    Args:
        d, n: Widths of input and state.
        variant: One of `NORMALISED`.
        torus: The image of convolutions, None for a dense layer.
        kernel: Side of the kernels of A and U on an image.
        padding: circular, or zero: then the layer is solved and frozen as the matrices that its
            convolutions are, which is meant for small images.

    Raises:
        InputError: a width below 1, an unknown variant or padding, a kernel larger than the image.
    """

    def __init__(
        self,
        d: int,
        n: int,
        *,
        variant: str = "bjorck",
        torus: Torus | None = None,
        kernel: int = 3,
        padding: str = "circular",
    ) -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise InputError(f"CerDEQ with padding {padding!r}: expected one of {PADDINGS}")
        if d < 1 or n < 1:
            raise InputError(f"CerDEQ with d = {d}, n = {n}: expected at least 1")
        if variant not in NORMALISED:
            raise InputError(f"CerDEQ {variant!r}: expected one of {', '.join(NORMALISED)}")
        if torus is not None and not 1 <= kernel <= min(torus.height, torus.width):
            raise InputError(
                f"CerDEQ with kernels of {kernel}×{kernel} taps: expected 1 to the "
                f"{torus.height}×{torus.width} pixels of the image"
            )
        self.variant, self.structure, self.torus = variant, structure_on(torus), torus
        self.padding = padding
        taps = () if torus is None else (kernel, kernel)
        self.sigma = Sigma.of(ReLU(), n * self.structure.repeat)
        self.both = Sigma.concatenate([self.sigma, self.sigma])
        reads = d * kernel ** len(taps)
        self.A = nn.Parameter(torch.randn(n, n, *taps) / n**0.5)
        self.U = nn.Parameter(torch.randn(n, d, *taps) * math.sqrt(math.pi / 2.0) / reads)
        self.b_z = nn.Parameter(torch.zeros(n))
        self.scale = nn.Parameter(torch.tensor(START))

    def weight(self) -> Tensor:
        """W as it is stored, differentiable in A and the scale."""
        rows = NORMALISED[self.variant](self.A.flatten(1))
        return (MOST * torch.sigmoid(self.scale)) * rows.reshape(self.A.shape)

    def map(self, K: Tensor) -> Operator:
        """A stored array as it acts."""
        if self.torus is None or self.padding == "circular":
            return self.structure.map(K)
        return Dense(kernel_matrix(K, self.torus, self.padding))

    def forward(self, x: Tensor) -> Tensor:
        W = self.map(self.weight())
        c = self.map(self.U).apply(x) + self.structure.spread(self.b_z)
        return self._solved(W, c, self.sigma)

    def boxes(self, boxes: Boxes) -> Boxes:
        W = self.weight()
        U, size = self.map(self.U), self.map(self.U.abs())
        b_z = self.structure.spread(self.b_z)
        driving = boxes.affine(lambda x: U.apply(x) + b_z, size.apply).measured()
        x = self._solved(self.map(W), driving.x, self.sigma)
        ends = torch.cat([driving.c + driving.r, driving.c - driving.r], dim=1)
        high, low = self._solved(Paired(self.map(W), self.map(W.abs())), ends, self.both).chunk(
            2, dim=1
        )
        return replace(driving, x=x).between(low, high).measured()

    def _solved(self, W: Operator, c: Tensor, sigma: Sigma) -> Tensor:
        solver = PeacemanRachford(
            W.detach(), sigma, tol=1e-10 if c.dtype == torch.float64 else 1e-5
        )
        z, solution = equilibrium(W, c, solver)
        solution.require_converged()
        return z

    @torch.no_grad()
    def freeze(
        self, G: Tensor | None = None, b_y: Tensor | None = None
    ) -> Equilibrium | ConvEquilibrium:
        """The layer as a float64 block, with an output map G or the identity."""
        A, U, b_z = (p.detach().double().cpu() for p in (self.A, self.U, self.b_z))
        s = MOST * torch.sigmoid(self.scale.detach().double().cpu())
        W = (s * NORMALISED[self.variant](A.flatten(1))).reshape(A.shape)
        torus = self.torus
        if torus is not None and self.padding == "zero":
            W, U = (kernel_matrix(K, torus, "zero") for K in (W, U))
            b_z, torus = self.structure.spread(b_z), None
            G = torch.eye(len(W), dtype=torch.float64) if G is None else G
        if G is None:
            G = self.structure.lifted(torch.eye(len(A), dtype=torch.float64))
        if b_y is None:
            b_y = torch.zeros(len(G), dtype=torch.float64)
        return equilibrium_block(W, U, G, b_z, b_y, self.sigma, torus=torus)
