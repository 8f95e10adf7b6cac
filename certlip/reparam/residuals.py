"""A chain of residual (SLL, CPL) blocks as one equilibrium block, equation (14), dense or on a torus.

With K = Wᵀ:  z = [x; σ_0; …; σ_{N−1}],  U = [I; 0],  G = [I, −2K_0ᵀD_0, …, −2K_{N−1}ᵀD_{N−1}],  D = T⁻¹,
    row n + 1 of W:  K_n [I, −2K_0ᵀD_0, …, −2K_{n−1}ᵀD_{n−1}, 0, …]

and Λ = blkdiag(I, 2D_0, …, 2D_{N−1}) satisfies (10) with L = 1 (15). W is strictly block
lower-triangular. Units with D_ii = 0 never reach the output and are left out, in the network and the
LMI alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from certlip.blocks import ConvResidual, Residual, Sigma, equilibrium_block
from certlip.blocks.activations import Identity
from certlip.linalg.structure import Structure
from certlip.reparam.proven import Proven, identity, zeros


def equilibrium_from_residuals(s: Structure, chain: Sequence[Residual | ConvResidual]) -> Proven:
    """The block of (14) with Λ of (15), for residual blocks on the same d units."""
    live = [block.D > 0 for block in chain]
    Ks = [_map(block)[a] for block, a in zip(chain, live, strict=True)]
    Ds = [block.D[a] for block, a in zip(chain, live, strict=True)]
    bs = [block.b[a] for block, a in zip(chain, live, strict=True)]
    d, inner = Ks[0].shape[1], [D.shape[0] for D in Ds]
    eye = identity(s, d)
    G = [eye, *(s.columns(s.adjoint(K), -2.0 * D) for K, D in zip(Ks, Ds, strict=True))]
    rows = [[zeros(s, d, d), *(zeros(s, d, k) for k in inner)]]
    for n, K in enumerate(Ks):
        before = [K, *(s.product(K, part) for part in G[1 : n + 1])]
        rows.append([*before, *(zeros(s, K.shape[0], k) for k in inner[n:])])
    U = s.grid([[eye], *([zeros(s, k, d)] for k in inner)])
    sigma = Sigma.concatenate(
        [Sigma.of(Identity(), d * s.repeat)]
        + [_live(block.sigma, s.spread(a)) for block, a in zip(chain, live, strict=True)]
    )
    block = equilibrium_block(
        s.grid(rows),
        U,
        s.grid([G]),
        torch.cat([torch.zeros(d, dtype=torch.float64), *bs]),
        torch.zeros(d, dtype=torch.float64),
        sigma,
        torus=s.torus,
    )
    lam = torch.cat([torch.ones(d, dtype=torch.float64), *(2.0 * D for D in Ds)])
    return Proven(block, lam, 1.0)


def _map(block: Residual | ConvResidual) -> Tensor:
    """K = Wᵀ (k, d, …), the map into the hidden units."""
    return block.K if isinstance(block, ConvResidual) else block.W.mT


def _live(sigma: Sigma, live: Tensor) -> Sigma:
    """σ of the coordinates that are live."""
    parts = live.split([count for _, count in sigma.segments])
    kinds = [kind for kind, _ in sigma.segments]
    return Sigma(tuple((kind, int(p.sum())) for kind, p in zip(kinds, parts, strict=True)))
