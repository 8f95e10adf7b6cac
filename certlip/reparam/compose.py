"""Composition of equilibrium blocks: two that satisfy (10) are one that does.

y₁ = G₁z₁ + b₁, z₁ = σ(W₁z₁ + U₁x + …), and y₂ of y₁ likewise, are the one block

    z = [z₁; z₂],   W = [[W₁, 0], [U₂G₁, W₂]],   U = [U₁; 0],   G = [0, G₂],

and if Λ_i proves L_i for block i, then Λ = blkdiag(L₂Λ₁, Λ₂/L₁) proves L = L₁L₂. Why: (10) for
block i says L_i²‖Δx_i‖² − ‖Δy_i‖² ≥ 2L_i⟨Δv_i − Δz_i, Δz_i⟩_{Λ_i}; L₂² times the first plus the
second is (10) of the whole. This is how Theorems D.1 and D.2 come about.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.blocks import Affine, Equilibrium, Sigma
from certlip.linalg.rigorous import spectral_norm


@dataclass(frozen=True)
class Proven:
    """An equilibrium block with Λ, (n,), and L for which (10) is expected to hold."""

    block: Equilibrium
    lam: Tensor
    lip: float


def compose(first: Proven, second: Proven) -> Proven:
    """The block of second ∘ first."""
    a, b = first.block, second.block
    n1, n2 = a.n, b.n
    zeros = torch.zeros(n1, n2, dtype=torch.float64)
    W = torch.cat([torch.cat([a.W, zeros], 1), torch.cat([b.U @ a.G, b.W], 1)])
    U = torch.cat([a.U, torch.zeros(n2, a.in_width, dtype=torch.float64)])
    G = torch.cat([torch.zeros(b.out_width, n1, dtype=torch.float64), b.G], 1)
    b_z = torch.cat([a.b_z, b.U @ a.b_y + b.b_z])
    block = Equilibrium(W, U, G, b_z, b.b_y, Sigma.concatenate([a.sigma, b.sigma]))
    lam = torch.cat([second.lip * first.lam, second.lam / first.lip])
    return Proven(block, lam, first.lip * second.lip)


def affine_after(first: Proven, last: Affine) -> Proven:
    """y = A(Gz + b_y) + b as one block: AG for G, ‖A‖L for L and ‖A‖Λ for Λ, since AᵀA ⪯ ‖A‖²I."""
    a, norm = first.block, spectral_norm(last.W.numpy()).value or 1.0
    block = Equilibrium(a.W, a.U, last.W @ a.G, a.b_z, last.W @ a.b_y + last.b, a.sigma)
    return Proven(block, norm * first.lam, norm * first.lip)


def affine_before(first: Affine, second: Proven) -> Proven:
    """The block of x ↦ second(Ax + b): UA for U, ‖A‖L for L and Λ/‖A‖ for Λ."""
    b, norm = second.block, spectral_norm(first.W.numpy()).value or 1.0
    block = Equilibrium(b.W, b.U @ first.W, b.G, b.b_z + b.U @ first.b, b.b_y, b.sigma)
    return Proven(block, second.lam / norm, norm * second.lip)


def activation_alone(sigma: Sigma) -> Proven:
    """y = σ(x): W = 0, U = G = I, Λ = I, L = 1."""
    d = sigma.width
    eye, zeros = torch.eye(d, dtype=torch.float64), torch.zeros(d, dtype=torch.float64)
    block = Equilibrium(torch.zeros(d, d, dtype=torch.float64), eye, eye, zeros, zeros, sigma)
    return Proven(block, torch.ones(d, dtype=torch.float64), 1.0)
