"""Feed-forward chains, their dense form, and the truth about them."""

import itertools
import math

import numpy as np
import torch
from lmi_nets import block_of

from certlip.blocks import Activation, Affine, Sigma
from certlip.blocks.activations import ReLU
from certlip.linalg.rigorous.ball import Ball
from certlip.lmi.chain import Chain


def random_matrices(seed, widths, gain=2.0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(o, i)) * math.sqrt(gain / i) for i, o in itertools.pairwise(widths)]


def chain_of(matrices):
    return Chain(tuple(Ball(A) for A in matrices))


def random_chain(seed, widths, gain=2.0):
    return chain_of(random_matrices(seed, widths, gain))


def affine(A, b=None):
    A = torch.tensor(np.asarray(A, dtype=np.float64))
    return Affine(A, torch.zeros(len(A)).double() if b is None else torch.tensor(b))


def relu(width):
    return Activation(Sigma.of(ReLU(), width))


def equilibrium(chain):
    """The same network as one dense equilibrium block."""
    widths = chain.widths
    at = np.concatenate([[0], np.cumsum(widths)])
    n = chain.n
    W, U = np.zeros((n, n)), np.zeros((n, chain.A[0].shape[1]))
    G = np.zeros((chain.A[-1].shape[0], n))
    U[: at[1]] = chain.A[0].mid
    G[:, at[-2] :] = chain.A[-1].mid
    for k in range(1, chain.depth):
        W[at[k] : at[k + 1], at[k - 1] : at[k]] = chain.A[k].mid
    return block_of(W, U, G)


def dense(S):
    """Midpoint and radius of a block-tridiagonal ball as full matrices."""
    at = np.concatenate([[0], np.cumsum([D.shape[0] for D in S.D])])
    mid, rad = np.zeros((2, at[-1], at[-1]))
    for full, part in ((mid, lambda b: b.mid), (rad, Ball.radius)):
        for k, D in enumerate(S.D):
            full[at[k] : at[k + 1], at[k] : at[k + 1]] = part(D)
        for k, C in enumerate(S.C):
            full[at[k + 1] : at[k + 2], at[k] : at[k + 1]] = part(C)
            full[at[k] : at[k + 1], at[k + 1] : at[k + 2]] = part(C).T
    return mid, rad


def largest_slope(matrices):
    """max ‖A_K J_K A_{K−1} … J_1 A_0‖ over all patterns of slopes 0 and 1."""
    products = [matrices[0]]
    for A in matrices[1:]:
        patterns = itertools.product((0.0, 1.0), repeat=A.shape[1])
        patterns = [np.array(p) for p in patterns]
        products = [A @ (p[:, None] * B) for B in products for p in patterns]
    return max(np.linalg.norm(B, 2) for B in products)


def steepest_found(matrices, seed, points=200):
    """The largest Jacobian norm of the ReLU network met at random points: no bound may be below it."""
    rng = np.random.default_rng(seed)
    biases = [rng.normal(size=len(A)) for A in matrices]
    best = 0.0
    for _ in range(points):
        z, J = rng.normal(size=matrices[0].shape[1]) * 3, np.eye(matrices[0].shape[1])
        for k, (A, b) in enumerate(zip(matrices, biases, strict=True)):
            z, J = A @ z + b, A @ J
            if k + 1 < len(matrices):
                J, z = (z > 0)[:, None] * J, np.maximum(z, 0.0)
        best = max(best, np.linalg.norm(J, 2))
    return best
