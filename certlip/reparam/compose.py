"""Composition of equilibrium blocks: two that satisfy (10) are one that does.

y₁ = G₁z₁ + b₁, z₁ = σ(W₁z₁ + U₁x + …), and y₂ of y₁ likewise, are the one block

    z = [z₁; z₂],   W = [[W₁, 0], [U₂G₁, W₂]],   U = [U₁; 0],   G = [0, G₂],

and if Λ_i proves L_i for block i, then Λ = blkdiag(L₂Λ₁, Λ₂/L₁) proves L = L₁L₂. Why: (10) for
block i says L_i²‖Δx_i‖² − ‖Δy_i‖² ≥ 2L_i⟨Δv_i − Δz_i, Δz_i⟩_{Λ_i}; L₂² times the first plus the
second is (10) of the whole. This is how Theorems D.1 and D.2 come about. On a torus the same holds
frequency by frequency, with Λ per channel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks import Affine, Convolution, Sigma, equilibrium_block
from certlip.linalg.rigorous import spectral_norm
from certlip.linalg.structure import Structure
from certlip.reparam.proven import Proven, identity, zeros


def compose(first: Proven, second: Proven) -> Proven:
    """The block of second ∘ first."""
    s, a, b = first.structure, first.block, second.block
    n1, n2 = a.n, b.n
    W = s.grid([[a.W, zeros(s, n1, n2)], [s.product(b.U, a.G), b.W]])
    U = s.grid([[a.U], [zeros(s, n2, a.U.shape[1])]])
    G = s.grid([[zeros(s, b.G.shape[0], n1), b.G]])
    b_z = torch.cat([a.b_z, s.on_constant(b.U) @ a.b_y + b.b_z])
    sigma = Sigma.concatenate([a.sigma, b.sigma])
    block = equilibrium_block(W, U, G, b_z, b.b_y, sigma, torus=s.torus)
    lam = torch.cat([second.lip * first.lam, second.lam / first.lip])
    return Proven(block, lam, first.lip * second.lip)


def linear_after(first: Proven, last: Affine | Convolution) -> Proven:
    """y = A(Gz + b_y) + b as one block: AG for G, ‖A‖L for L and ‖A‖Λ for Λ, since AᵀA ⪯ ‖A‖²I."""
    s, a, A = first.structure, first.block, array_of(last)
    norm = _norm(s, A)
    b_y = s.on_constant(A) @ a.b_y + last.b
    block = equilibrium_block(a.W, a.U, s.product(A, a.G), a.b_z, b_y, a.sigma, torus=s.torus)
    return Proven(block, norm * first.lam, norm * first.lip)


def linear_before(first: Affine | Convolution, second: Proven) -> Proven:
    """The block of x ↦ second(Ax + b): UA for U, ‖A‖L for L and Λ/‖A‖ for Λ."""
    s, b, A = second.structure, second.block, array_of(first)
    norm = _norm(s, A)
    b_z = b.b_z + s.on_constant(b.U) @ first.b
    block = equilibrium_block(b.W, s.product(b.U, A), b.G, b_z, b.b_y, b.sigma, torus=s.torus)
    return Proven(block, second.lam / norm, norm * second.lip)


def linear_product(
    s: Structure, first: Affine | Convolution, second: Affine | Convolution
) -> Affine | Convolution:
    """second ∘ first."""
    A, B = array_of(first), array_of(second)
    product, b = s.product(B, A), s.on_constant(B) @ first.b + second.b
    if isinstance(second, Convolution):
        return Convolution(product, b, second.height, second.width, second.padding)
    return Affine(product, b)


def activation_alone(s: Structure, sigma: Sigma) -> Proven:
    """y = σ(x): W = 0, U = G = I, Λ = I, L = 1; σ per coordinate."""
    n = sigma.width // s.repeat
    eye, none = identity(s, n), torch.zeros(n, dtype=torch.float64)
    block = equilibrium_block(zeros(s, n, n), eye, eye, none, none, sigma, torus=s.torus)
    return Proven(block, torch.ones(n, dtype=torch.float64), 1.0)


def array_of(block: Affine | Convolution) -> Tensor:
    """The matrix, or the kernel, of a linear block."""
    return block.K if isinstance(block, Convolution) else block.W


def _norm(s: Structure, A: Tensor) -> float:
    """A close upper bound of ‖A‖₂; 1 for the zero map, which it bounds as well."""
    if s.torus is None:
        return spectral_norm(A.numpy()).value or 1.0
    # a guess is enough here, what is built from it is proven on its own: the largest block, rounded up
    largest = float(torch.linalg.matrix_norm(s.blocks(A), 2).max())
    return largest * (1.0 + 1e-12) or 1.0
