"""Small LBENs on images that end in zeros, and their W, Ū and matrices written out."""

import numpy as np
import torch

from certlip.blocks import PaddedEquilibrium, Sigma
from certlip.blocks.activations import ReLU
from certlip.blocks.dense_form import kernel_matrix
from certlip.linalg.torus import Torus

SIZES = {"U": (1, 3), "A": (3, 3), "B": (1, 1)}


def padded(seed=0, n=2, c=1, q=2, height=4, width=3, m=0.75, lip=1.5, scale=0.5, **changes):
    """Random parameters; `scale` of the kernels."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return torch.from_numpy(scale * rng.standard_normal(shape))

    sizes = {**SIZES, **changes}
    psi = torch.from_numpy(rng.uniform(0.5, 2.0, (n, height, width)))
    U, A, B = (
        normal(*shape, *sizes[k]) for k, shape in (("U", (n, c)), ("A", (n + 1, n)), ("B", (n, n)))
    )
    G = normal(q, n * height * width)
    sigma = Sigma.of(ReLU(), psi.numel())
    return PaddedEquilibrium(psi, U, A, B, G, normal(n), normal(q), m, lip, sigma)


def written_out(block):
    """W, U, Ū, AᵀA as matrices, by kernels on an image with room around it."""
    (H, W), channels = block.psi.shape[1:], block.psi.shape[0]
    room = 4
    wide = Torus(H + 2 * room, W + 2 * room)
    inside = torch.zeros(wide.height, wide.width, dtype=torch.bool)
    inside[room:-room, room:-room] = True
    states = inside.flatten().repeat(channels)
    A = kernel_matrix(block.A, wide, "zero")[:, states]
    wide_U = kernel_matrix(block.U, wide, "zero")[states]
    U, B = (kernel_matrix(K, block.torus, "zero") for K in (block.U, block.B))
    psi, G = block.psi.flatten(), block.G
    lam_U = wide_U / psi[:, None]
    AA = A.T @ A
    eye = torch.eye(block.n, dtype=torch.float64)
    F = (G.T @ G + lam_U @ lam_U.T) / (2 * block.lip) + AA + block.m * eye + B.T - B
    return tuple(a.numpy() for a in (eye - psi[:, None] * F, U, wide_U, AA))


def jacobian(block, z):
    """G(I − DW)⁻¹DU for the active units of z, in exact arithmetic a slope of the map."""
    W, U, _, _ = written_out(block)
    D = (z > 0).astype(float)[:, None]
    return block.G.numpy() @ np.linalg.solve(np.eye(block.n) - D * W, D * U)
