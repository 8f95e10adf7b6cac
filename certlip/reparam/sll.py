"""A chain of residual (SLL, CPL) blocks as one equilibrium block, equation (14).

    z = [x; σ_0; …; σ_{N−1}],  U = [I; 0],  G = [I, −2W_0D_0, …, −2W_{N−1}D_{N−1}],  D = T⁻¹,
    row n + 1 of W:  W_nᵀ [I, −2W_0D_0, …, −2W_{n−1}D_{n−1}, 0, …]

and Λ = blkdiag(I, 2D_0, …, 2D_{N−1}) satisfies (10) with L = 1 (15). W is strictly block
lower-triangular. Coordinates with D_ii = 0 never reach the output and are left out, in the network
and the LMI alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks import Equilibrium, Residual, Sigma
from certlip.blocks.activations import Identity


def equilibrium_from_residuals(blocks: list[Residual]) -> tuple[Equilibrium, Tensor]:
    """The block of (14) and the diagonal of Λ of (15), (n,), for residual blocks of one width d."""
    d = blocks[0].in_width
    live = [block.D > 0 for block in blocks]
    Ws = [block.W[:, a] for block, a in zip(blocks, live, strict=True)]
    Ds = [block.D[a] for block, a in zip(blocks, live, strict=True)]
    bs = [block.b[a] for block, a in zip(blocks, live, strict=True)]

    eye = torch.eye(d, dtype=torch.float64)
    n = d + sum(D.shape[0] for D in Ds)
    G = torch.cat([eye, *(-2.0 * W * D for W, D in zip(Ws, Ds, strict=True))], dim=1)
    W = torch.zeros(n, n, dtype=torch.float64)
    start = d
    for W_n in Ws:
        stop = start + W_n.shape[1]
        W[start:stop, :start] = W_n.T @ G[:, :start]
        start = stop
    U = torch.zeros(n, d, dtype=torch.float64)
    U[:d] = eye
    sigma = Sigma.concatenate(
        [Sigma.of(Identity(), d)]
        + [
            Sigma(tuple((kind, int(part.sum())) for kind, part in _kinds(block.sigma, a)))
            for block, a in zip(blocks, live, strict=True)
        ]
    )
    b_z = torch.cat([torch.zeros(d, dtype=torch.float64), *bs])
    b_y = torch.zeros(d, dtype=torch.float64)
    lam = torch.cat([torch.ones(d, dtype=torch.float64), *(2.0 * D for D in Ds)])
    return Equilibrium(W, U, G, b_z, b_y, sigma), lam


def _kinds(sigma: Sigma, live: Tensor):
    """The segments of σ, each with its part of the mask."""
    return [
        (kind, part)
        for (kind, _), part in zip(
            sigma.segments, live.split([count for _, count in sigma.segments]), strict=True
        )
    ]
