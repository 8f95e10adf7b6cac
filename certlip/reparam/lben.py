"""From an equilibrium block that satisfies (10) to LBEN parameters: the step of Theorem 3.5.

With Λ ≻ 0 and L of (10):  Ψ = Λ⁻¹,  M = Λ(I − W) − (GᵀG + ΛUUᵀΛ)/(2L),  VᵀV = ½(M + Mᵀ),  S = −½M,
ε = 0. Then Λ(I − W) = M + (GᵀG + ΛUUᵀΛ)/(2L), and ½(M + Mᵀ) + Sᵀ − S = M, so (7) gives W back. The
printed S = +½M belongs to the sign of (2), not to that of (7). On a torus all of this happens per
frequency, V is a Hermitian square root there (Appendix C), and V and S become kernels of the size
of the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.equilibrium import LBEN
from certlip.errors import InputError, RejectedError
from certlip.reparam.proven import structure_of


def lben_from_equilibrium(block: Equilibrium | ConvEquilibrium, lam: Tensor, lip: float) -> LBEN:
    """The LBEN with the function of `block`, for Λ = diag(lam), (n,) > 0 per unit, and L of (10).

    Raises:
        InputError: Λ or L is not positive and finite. (W = 2 with λ = −1 satisfies (10).)
        RejectedError: ½(M + Mᵀ) has an eigenvalue below what rounding explains, so that (10) does
            not hold for these multipliers.
    """
    if lam.shape != (block.n,) or not bool((torch.isfinite(lam) & (lam > 0)).all()):
        raise InputError(f"lam: expected {block.n} positive finite numbers")
    if not 0.0 < lip < float("inf"):
        raise InputError(f"L = {lip}: expected a positive finite number")
    s = structure_of(block)
    W, U, G = (s.blocks(array) for array in (block.W, block.U, block.G))
    lam_U = lam[:, None] * U
    eye = torch.eye(block.n, dtype=torch.float64)
    M = lam[:, None] * (eye - W) - (G.mH @ G + lam_U @ lam_U.mH) / (2.0 * lip)
    V = hermitian_square_root((M + M.mH) / 2.0)
    return LBEN(
        log_psi=-lam.log(),
        U=block.U,
        G=block.G,
        V=s.array(V),
        S=s.array(-M / 2.0),
        b_z=block.b_z,
        b_y=block.b_y,
        sigma=block.sigma,
        lip=lip,
        torus=s.torus,
    )


def hermitian_square_root(H: Tensor) -> Tensor:
    """V = Vᴴ with VᴴV = H for positive semidefinite H (…, n, n), up to rounding.

    Raises:
        RejectedError: H has an eigenvalue below −10⁻¹⁰‖H‖.
    """
    values, Q = torch.linalg.eigh(H)
    size, smallest = float(values.abs().max()), float(values[..., 0].min())
    if smallest < -1e-10 * size:
        raise RejectedError(
            f"condition (10) does not hold for these multipliers: ½(M + Mᵀ) has the eigenvalue "
            f"{smallest:.3g}, its norm is {size:.3g}"
        )
    return (Q * values.clamp_min(0.0).sqrt()[..., None, :]) @ Q.mH
