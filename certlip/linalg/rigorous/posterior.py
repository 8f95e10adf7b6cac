"""Proof that symmetric matrices are positive definite where no Cholesky routine is trusted, as on a GPU.

For any finite R̂ and τ > 0, S = τI + R̂ᵀR̂ + E with the E that this defines, so S ≻ 0 if τ > ‖E‖₂ + r:

    |E| ≤ |fl(S − τI − R̂ᵀR̂)| + γ_{n+2}(|R̂|ᵀ|R̂| + |S| + τI) + underflow,

norms by the largest row sum. Only IEEE double sums and matrix products in any order are assumed, which
the float64 products of a GPU are (reduced precisions such as TF32 do not concern float64). Source: the
a-posteriori form of the argument in S. M. Rump, Verification of positive definiteness, BIT 46 (2006).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certlip.linalg.rigorous.rounding import TINY, U, gamma

#: How often τ is chosen again after a residual that was larger than it.
ATTEMPTS = 3


def are_positive_definite(S: Tensor, R: Tensor | None = None, *, slack: float = 1.0) -> Tensor:
    """For each matrix of a batch, True only if every symmetric X with |X − S| ≤ R is positive definite.

    Args:
        S: (…, n, n) float64 on any device, exactly symmetric.
        R: (…, n, n) like S, symmetric and ≥ 0; None where S is exact.
        slack: Factor ≥ 1 on every allowance for rounding.

    Returns:
        (…) bool, on the device of S.

    Raises:
        ValueError: slack below 1, another dtype, or matrices that are not square.
    """
    if not 1.0 <= slack < math.inf:
        raise ValueError(f"slack = {slack}: expected a finite number ≥ 1")
    R = torch.zeros_like(S) if R is None else R
    if S.ndim < 2 or S.shape[-1] != S.shape[-2] or R.shape != S.shape:
        raise ValueError(f"S {tuple(S.shape)}, R {tuple(R.shape)}: expected square matrices")
    if S.dtype != torch.float64 or R.dtype != torch.float64:
        raise ValueError(f"S is {S.dtype}, R is {R.dtype}: expected torch.float64")
    if S.numel() == 0:
        return torch.ones(S.shape[:-2], dtype=torch.bool, device=S.device)
    possible = (
        _each(S.isfinite() & R.isfinite() & (R >= 0.0))
        & _each((S.mT == S) & (R.mT == R))
        & (S.diagonal(dim1=-2, dim2=-1) > 0.0).all(-1)
    )
    eye = torch.eye(S.shape[-1], dtype=S.dtype, device=S.device)
    # what is hopeless is replaced, so that it cannot disturb the others
    S, R = torch.where(possible[..., None, None], S, eye), _where(possible, R)
    S, R = _balanced(S, R)
    return possible & _proven(S, R, slack)


def _each(holds: Tensor) -> Tensor:
    return holds.all(-1).all(-1)


def _where(kept: Tensor, R: Tensor) -> Tensor:
    return torch.where(kept[..., None, None], R, torch.zeros_like(R))


def _balanced(S: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
    """The congruence by powers of two with diagonal of about 1: exact, TINY covers what is subnormal."""
    exponent = -(S.diagonal(dim1=-2, dim2=-1).log2() / 2.0).round().clamp(-400.0, 400.0)
    D = torch.ldexp(torch.ones_like(exponent), exponent)
    # `ldexp` may be 2^x of the mathematics library: keep only what is a power of two
    mantissa, _ = torch.frexp(D)
    D = torch.where(mantissa == 0.5, D, torch.ones_like(D))
    scale = D[..., :, None] * D[..., None, :]
    return S * scale, _up(R * scale) + TINY


def _proven(S: Tensor, R: Tensor, slack: float) -> Tensor:
    n = S.shape[-1]
    eye = torch.eye(n, dtype=S.dtype, device=S.device)
    tau = slack * (4.0 * gamma(n + 4) * _largest_row(S.abs()) + 2.0 * _largest_row(R))  # a guess
    proven = torch.zeros(S.shape[:-2], dtype=torch.bool, device=S.device)
    for _ in range(ATTEMPTS):
        shift = tau[..., None, None] * eye
        factor, _ = torch.linalg.cholesky_ex(S - shift)
        root = factor.mT
        needed = slack * _error_norm(S, R, shift, root)
        proven = proven | ((tau > _up(needed)) & _each(root.isfinite()))
        tau = torch.where(proven, tau, 1.25 * needed)
        if bool((proven | ~(tau < 1.0)).all()):
            break
    return proven


def _error_norm(S: Tensor, R: Tensor, shift: Tensor, root: Tensor) -> Tensor:
    """An upper bound of ‖X − τI − R̂ᵀR̂‖₂ for every |X − S| ≤ R; `shift` is τI, `root` any R̂."""
    n = S.shape[-1]
    size = root.abs()
    E = (S - shift - root.mT @ root).abs()
    rounding = gamma(n + 4) * (size.mT @ size + S.abs() + shift) + n * TINY
    # the sums and products in here were rounded themselves: (n + 8) steps and those of the row sum
    return _up(_largest_row(E + rounding + R) * (1.0 + 2.0 * gamma(n + 8)))


def _largest_row(A: Tensor) -> Tensor:
    """The largest row sum of nonnegative matrices, rounded up."""
    n = A.shape[-1]
    return _up(A.sum(-1).amax(-1) * (1.0 + (n + 2) * 2.0 * U))


def _up(x: Tensor) -> Tensor:
    """Above a nonnegative x: one outward step."""
    return x * (1.0 + 4.0 * U) + TINY
