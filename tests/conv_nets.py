"""Small convolutional blocks that satisfy the conditions by construction, and random ones."""

import numpy as np
import torch

from certlip.blocks import (
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    GroupSort,
    Network,
    Origin,
    Pooling,
    Resize,
    Sigma,
)
from certlip.blocks.activations import ReLU
from certlip.blocks.dense_form import dense_form
from certlip.linalg.torus import Torus


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def normal(rng, *shape):
    return tensor(rng.standard_normal(shape))


def relu(channels, height, width):
    return Sigma.of(ReLU(), channels * height * width)


def conv_lben(seed=0, n=2, c=1, q=2, height=2, width=3, lip=1.5, eps=0.1, sign=1.0):
    """(7) per frequency; `sign` −1 turns the positive part VᵀV + εI around, so that nothing holds."""
    rng, torus = np.random.default_rng(seed), Torus(height, width)
    U, G = normal(rng, n, c, 1, min(2, width)), normal(rng, q, n, min(2, height), 1)
    psi = tensor(rng.uniform(0.5, 2.0, n))
    V, S = (torus.spectrum(0.5 * normal(rng, n, n, height, width)) for _ in range(2))
    U_f, G_f = torus.spectrum(U), torus.spectrum(G)
    psi_U = U_f / psi[:, None]
    eye = torch.eye(n, dtype=V.dtype)
    right = (G_f.mH @ G_f + psi_U @ psi_U.mH) / (2 * lip) + S.mH - S
    right = right + sign * (V.mH @ V + eps * eye)
    W = torus.kernel(eye - psi[:, None] * right).contiguous()
    origin = Origin("lben", {"lip": lip}, {"psi": psi})
    sigma = relu(n, height, width)
    b_z, b_y = normal(rng, n), normal(rng, q)
    return ConvEquilibrium(W, U, G, b_z, b_y, sigma, height, width, origin)


def conv_mondeq(seed=0, n=2, c=2, q=1, height=3, width=2, m=0.5, phi=None):
    """W = I − Φ(AᵀA + Bᵀ − B + mI), equation (6); (5) with Φ = I."""
    rng, torus = np.random.default_rng(seed), Torus(height, width)
    A, B = (torus.spectrum(0.5 * normal(rng, n, n, height, width)) for _ in range(2))
    eye = torch.eye(n, dtype=A.dtype)
    scale = torch.ones(n).double() if phi is None else tensor(phi)
    W = torus.kernel(eye - scale[:, None] * (A.mH @ A + B.mH - B + m * eye)).contiguous()
    U, G = normal(rng, n, c, 2, 2), normal(rng, q, n, 1, 1)
    origin = (
        Origin("mondeq", {"m": m}) if phi is None else Origin("g-mondeq", {"m": m}, {"phi": scale})
    )
    sigma = relu(n, height, width)
    return ConvEquilibrium(W, U, G, normal(rng, n), normal(rng, q), sigma, height, width, origin)


def convolution(seed=0, o=2, i=2, taps=(2, 2), height=3, width=2, padding="circular"):
    rng = np.random.default_rng(seed)
    return Convolution(normal(rng, o, i, *taps), normal(rng, o), height, width, padding)


def conv_residual(seed=0, k=3, c=2, taps=(2, 2), height=3, width=2, padding="circular", share=1.0):
    """D from ‖K‖₂ of the torus that covers the padding, times `share`: 1-Lipschitz up to `share` = 1."""
    rng = np.random.default_rng(seed)
    K = normal(rng, k, c, *taps)
    big = Torus(height + taps[0], width + taps[1]) if padding == "zero" else Torus(height, width)
    norm = torch.linalg.matrix_norm(big.spectrum(K), 2).max()
    D = torch.full((k,), float(share / (norm * norm))).double()
    sigma = relu(k, height, width)
    return ConvResidual(K, D, normal(rng, k), sigma, height, width, padding)


def network(seed=0, padding="circular"):
    """Every kind once: 1 channel of 4×2 pixels to 3 logits."""
    return Network(
        [
            Resize(8, 16),
            convolution(seed, 2, 2, (3, 2), 4, 2, padding),
            conv_residual(seed + 1, 3, 2, (2, 2), 4, 2, padding),
            GroupSort(16, 2, 8),
            Pooling(2, 4, 2, 2),
            conv_lben(seed + 2, 2, 2, 2, 2, 1),
            Resize(4, 3),
        ]
    )


def matrix(block):
    """The dense matrix of a convolution."""
    (affine,) = dense_form(block)
    return affine.W.numpy()


def jacobian_norms(f, x):
    """The norm of the Jacobian of f at each image of x, from the dense matrix."""
    norms = []
    for image in x.split(1):
        J = torch.autograd.functional.jacobian(f, image)
        norms.append(torch.linalg.matrix_norm(J.reshape(-1, image.numel()), 2))
    return torch.stack(norms)
