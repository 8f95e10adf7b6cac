"""Equilibrium blocks that satisfy the conditions by construction, and the truth about them."""

import itertools

import numpy as np
import torch

from certlip.blocks import Equilibrium, Origin, Sigma
from certlip.blocks.activations import ReLU


def parts_with_margin(seed, n=5, d=4, q=3, lip=2.0, scale=1.0):
    """Weights and Λ for which the matrix of (10) at `lip` is 2VᵀV by construction; and V."""
    rng = np.random.default_rng(seed)
    lam = rng.uniform(0.5, 2.0, n)
    U, G, V, S = (scale * rng.standard_normal(s) for s in ((n, d), (q, n), (n, n), (n, n)))
    lam_U = lam[:, None] * U
    R = (G.T @ G + lam_U @ lam_U.T) / (2 * lip) + V.T @ V + S - S.T
    return {"W": np.eye(n) - R / lam[:, None], "U": U, "G": G, "lam": lam}, V


def block_of(W, U, G, lam=None, lip=1.0, *, origin=None, sigma=None, b_z=None):
    """A block from plain arrays; Λ and L become the origin of its multipliers."""
    tensors = [torch.tensor(np.asarray(a, dtype=np.float64)) for a in (W, U, G)]
    n, q = tensors[0].shape[0], tensors[2].shape[0]
    if lam is not None:
        origin = Origin("lben", {"lip": lip}, {"psi": 1.0 / torch.tensor(np.asarray(lam))})
    b_z = torch.zeros(n) if b_z is None else torch.tensor(b_z)
    sigma = sigma or Sigma.of(ReLU(), n)
    return Equilibrium(*tensors, b_z.double(), torch.zeros(q).double(), sigma, origin)


def mondeq_block(seed, n=6, d=4, q=3, m=0.5, scale=1.0):
    """W = (1 − m)I − AᵀA + B − Bᵀ, equation (5)."""
    rng = np.random.default_rng(seed)
    A, B = scale * rng.standard_normal((2, n, n)) / np.sqrt(n)
    U, G = scale * rng.standard_normal((n, d)), scale * rng.standard_normal((q, n))
    W = (1 - m) * np.eye(n) - A.T @ A + B - B.T
    return block_of(W, U, G, origin=Origin("mondeq", {"m": m}))


def largest_pattern_slope(block):
    """max ‖G(I − JW)⁻¹JU‖₂ over all 2ⁿ ReLU patterns J: no bound of this rule may be below it."""
    W, U, G = block.W.numpy(), block.U.numpy(), block.G.numpy()
    eye = np.eye(len(W))
    patterns = (np.array(p) for p in itertools.product((0.0, 1.0), repeat=len(W)))
    slopes = (G @ np.linalg.solve(eye - J[:, None] * W, J[:, None] * U) for J in patterns)
    return max(np.linalg.norm(slope, 2) for slope in slopes)
