"""Monotone equilibrium layers: MonDEQ (5) and its generalization G-MonDEQ (6), dense or on a torus.

    z = σ(Wz + Ux + b_z),  y = Gz + b_y,   W = I − Φ(AᵀA + Bᵀ − B + mI),   Φ = diag(exp(d)) ≻ 0          (6)

and Φ = I is W = (1 − m)I − AᵀA + B − Bᵀ (5). Well-posed by (3) with Γ = Φ⁻¹; L = ‖Φ⁻¹U‖‖G‖/m
(Theorem 3.3 with an output map). With `lip` given, U is scaled so that ‖Φ⁻¹U‖‖G‖ ≤ m·lip (Havens et
al., 2023, App. A): the layer is then lip-Lipschitz for all values of the parameters, and is what
their Lip-MonDEQ is for Φ = I, G = I. Sources: Winston & Kolter, NeurIPS 2020; Pabbaraju, Winston &
Kolter, ICLR 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Origin, Sigma
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.equilibrium.base import ImplicitLayer, Maps
from certlip.equilibrium.lben import check_sigma
from certlip.errors import InputError
from certlip.linalg.gram import gram_norm
from certlip.linalg.structure import structure_on
from certlip.linalg.torus import Torus


class MonDEQ(ImplicitLayer):
    """A trainable monotone equilibrium layer R^d → R^q with n states; on a torus d, n, q are channels.

    Args:
        d, n, q: Widths of input, state and output; q None means G = I (q = n, not trained).
        m: Strong monotonicity, > 0.
        lip: Prescribed Lipschitz bound in units of y per unit of x, or None to leave U free.
        generalized: Whether Φ is trained (G-MonDEQ) or the identity (MonDEQ).
        torus: The image for circular convolutions, None for a dense layer.
        kernel: Side of the kernels A, B and U on a torus; G is 1 × 1 there.

    Raises:
        InputError: a width below 1, m ≤ 0 or lip ≤ 0, a kernel larger than the image, an activation with
            slopes outside of [0, 1].
    """

    def __init__(
        self,
        d: int,
        n: int,
        q: int | None = None,
        *,
        m: float = 1.0,
        lip: float | None = None,
        generalized: bool = False,
        activation: ActivationKind | None = None,
        torus: Torus | None = None,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        if d < 1 or n < 1 or (q is not None and q < 1):
            raise InputError(f"MonDEQ with d = {d}, n = {n}, q = {q}: expected at least 1")
        if not 0.0 < m < float("inf"):
            raise InputError(f"MonDEQ with m = {m}: expected a positive finite number")
        if lip is not None and not 0.0 < lip < float("inf"):
            raise InputError(f"MonDEQ with L = {lip}: expected a positive finite number")
        if torus is not None and not 1 <= kernel <= min(torus.height, torus.width):
            raise InputError(
                f"MonDEQ with kernels of {kernel}×{kernel} taps: expected 1 to the "
                f"{torus.height}×{torus.width} pixels of the image"
            )
        self.m, self.lip = float(m), lip
        self.structure = structure_on(torus)
        taps = () if torus is None else (kernel, kernel)
        one = () if torus is None else (1, 1)
        self.sigma = Sigma.of(activation or ReLU(), n * self.structure.repeat)
        check_sigma("MonDEQ", self.sigma, n, self.structure.repeat)
        area = float(torch.Size(taps).numel())
        self.A, self.B = (nn.Parameter(torch.randn(n, n, *taps) / (n * area)) for _ in range(2))
        self.U = nn.Parameter(torch.randn(n, d, *taps) / (d * area) ** 0.5)
        self.G = nn.Parameter(torch.randn(q, n, *one) / n**0.5) if q is not None else None
        self.log_phi = nn.Parameter(torch.zeros(n)) if generalized else None
        self.b_z = nn.Parameter(torch.zeros(n))
        self.b_y = nn.Parameter(torch.zeros(n if q is None else q))

    def phi(self) -> Tensor:
        """The diagonal of Φ, (n,), > 0."""
        return torch.ones_like(self.b_z) if self.log_phi is None else self.log_phi.exp()

    def output_map(self) -> Tensor:
        """G (q, n, …)."""
        if self.G is not None:
            return self.G
        eye = torch.eye(self.b_z.shape[0], dtype=self.b_z.dtype, device=self.b_z.device)
        return eye.reshape(*eye.shape, *[1] * (self.structure.ndim - 2))

    def maps(self) -> Maps:
        phi, G = self.phi(), self.output_map()
        eye = torch.eye(phi.shape[0], dtype=phi.dtype, device=phi.device)
        A, B = self.structure.blocks(self.A), self.structure.blocks(self.B)
        W = eye - phi[:, None] * (A.mH @ A + B.mH - B + self.m * eye)
        U = self.U
        if self.lip is not None:
            inverse = (1.0 / phi)[:, None]
            size = self._norm(inverse * self.structure.blocks(U)) * self._norm(
                self.structure.blocks(G)
            )
            allowed = self.m * self.lip
            U = U * (allowed / size.clamp_min(allowed))
        return Maps(W, U, G)

    @staticmethod
    def _norm(blocks: Tensor) -> Tensor:
        """An upper bound of the norm: that of the largest block."""
        return gram_norm(blocks).amax()

    def metric(self) -> Tensor:
        return 1.0 / self.phi()

    def constants(self) -> tuple[float | None, ...]:
        return self.m, self.lip

    def origin(self) -> Origin:
        return Origin("g-mondeq", {"m": self.m}, {"phi": self.phi().detach().clone()})

    def factors(self) -> tuple[Tensor, ...]:
        return self.A, self.B
