"""Lipschitz-bounded equilibrium layers (LBEN), dense or convolutional on a torus.

    z = σ(Wz + Ux + b_z),  y = Gz + b_y,
    W = I − Ψ( GᵀG/(2L) + Ψ⁻¹UUᵀΨ⁻¹/(2L) + VᵀV + Sᵀ − S + εI ),   Ψ = diag(exp(d)) ≻ 0       (7)

Why L-Lipschitz for all values of the parameters: with Λ = Ψ⁻¹ the left side of (4) is 2VᵀV + 2εI.
Source: Revay, Wang & Manchester, arXiv:2010.01732; equation numbers of Havens et al., 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Origin, Sigma
from certlip.equilibrium.base import ImplicitLayer, Maps
from certlip.errors import InputError
from certlip.linalg.structure import structure_on
from certlip.linalg.torus import Torus


def lben_weight(
    log_psi: Tensor, U: Tensor, G: Tensor, V: Tensor, S: Tensor, lip: float, eps: float
) -> Tensor:
    """W of (7), (…, n, n), for matrices or for the blocks of all frequencies, log_psi (n,).

    VᵀV is the transpose of V times V: V·V leaves the constraint once V is trained.
    """
    psi, inverse = log_psi.exp(), (-log_psi).exp()
    inverse_U = inverse[:, None] * U
    inner = (G.mH @ G + inverse_U @ inverse_U.mH) / (2.0 * lip) + V.mH @ V + S.mH - S
    eye = torch.eye(U.shape[-2], dtype=U.dtype, device=U.device)
    return eye - psi[:, None] * (inner + eps * eye)


class LBEN(ImplicitLayer):
    """A trainable equilibrium layer with a prescribed Lipschitz bound.

    Args:
        log_psi: d of Ψ = diag(exp(d)), (n,), per neuron or per channel.
        U, G, V, S: (n, d), (q, n), (n, n), (n, n), free; on a torus kernels (…, kh, kw).
        b_z, b_y: (n,), (q,).
        sigma: The activation per coordinate.
        lip: L > 0, in units of y per unit of x.
        eps: ε ≥ 0 of (7); ε > 0 leaves the conditions room for rounding.
        torus: The image for circular convolutions, None for a dense layer.

    Raises:
        InputError: shapes disagree, a kernel is larger than the image, L ≤ 0 or ε < 0, slopes of σ
            outside of [0, 1].
    """

    def __init__(
        self,
        *,
        log_psi: Tensor,
        U: Tensor,
        G: Tensor,
        V: Tensor,
        S: Tensor,
        b_z: Tensor,
        b_y: Tensor,
        sigma: Sigma,
        lip: float = 1.0,
        eps: float = 0.0,
        torus: Torus | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 < lip < float("inf"):
            raise InputError(f"LBEN with L = {lip}: expected a positive finite number")
        if not 0.0 <= eps < float("inf"):
            raise InputError(f"LBEN with ε = {eps}: expected a nonnegative finite number")
        self.structure = structure_on(torus)
        axes = self.structure.ndim
        if log_psi.ndim != 1 or U.ndim != axes or G.ndim != axes:
            found = tuple(log_psi.shape), tuple(U.shape), tuple(G.shape)
            more = "" if torus is None else " with two axes of taps"
            raise InputError(
                f"LBEN: log_psi, U, G have shapes {found}: expected (n,), (n, d), (q, n){more}"
            )
        n, d, q = log_psi.shape[0], U.shape[1], G.shape[0]
        shapes = {"U": (n, d), "G": (q, n), "V": (n, n), "S": (n, n)}
        for name, value in (("U", U), ("G", G), ("V", V), ("S", S)):
            self.structure.check(f"LBEN: {name}", value)
            _expect(name, value.shape[:2], shapes[name])
        for name, value, size in (("b_z", b_z, n), ("b_y", b_y, q)):
            _expect(name, value.shape, (size,))
        check_sigma("LBEN", sigma, n, self.structure.repeat)
        self.log_psi, self.U, self.G = (nn.Parameter(t.clone()) for t in (log_psi, U, G))
        self.V, self.S = nn.Parameter(V.clone()), nn.Parameter(S.clone())
        self.b_z, self.b_y = nn.Parameter(b_z.clone()), nn.Parameter(b_y.clone())
        self.sigma, self.lip, self.eps = sigma, float(lip), float(eps)

    def weight(self) -> Tensor:
        """The blocks of W of (7), differentiable in the parameters."""
        U, G, V, S = (self.structure.blocks(t) for t in (self.U, self.G, self.V, self.S))
        return lben_weight(self.log_psi, U, G, V, S, self.lip, self.eps)

    def maps(self) -> Maps:
        return Maps(self.weight(), self.U, self.G)

    def metric(self) -> Tensor:
        return (-self.log_psi).exp()

    def constants(self) -> tuple[float | None, ...]:
        return self.lip, self.eps

    def origin(self) -> Origin:
        return Origin("lben", {"lip": self.lip}, {"psi": self.log_psi.detach().exp()})

    def factors(self) -> tuple[Tensor, ...]:
        return self.U, self.G, self.V, self.S


def check_sigma(layer: str, sigma: Sigma, units: int, repeat: int) -> None:
    """Raises an `InputError` unless σ has one kind per unit and slopes in [0, 1]."""
    if sigma.width != units * repeat:
        raise InputError(f"{layer}: σ has {sigma.width} coordinates: expected {units * repeat}")
    if any(count % repeat for _, count in sigma.segments):
        raise InputError(f"{layer}: {sigma}: expected whole channels of {repeat} pixels")
    low, high = sigma.slopes
    if not (low >= 0.0 and high <= 1.0):
        raise InputError(f"{layer}: {sigma} has slopes in [{low}, {high}]: expected [0, 1]")


def _expect(name: str, found: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if tuple(found) != shape:
        raise InputError(f"LBEN: {name} has shape {tuple(found)}: expected {shape}")
