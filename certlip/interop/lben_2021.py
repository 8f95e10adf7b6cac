"""Lipschitz-bounded equilibrium networks of Revay, Wang & Manchester (2020): torch state dicts.

Entries psi (n), B (n, d), its bias (n), V, S (n, n), G (q, n), its bias (q);  γ and m are not stored:

    W = I − Ψ(GᵀG/(2γ) + Ψ⁻¹BBᵀΨ⁻¹/(2γ) + VᵀV + mI + Sᵀ − S),   Ψ = diag(exp(psi))              (7)
    z = relu(Wz + Bx + B.bias),   y = Gz + G.bias

and x is the image normalised by mean 0.1307 and standard deviation 0.3081. W is computed in float64, and
that rounded W is the frozen one. With Λ = Ψ⁻¹ the left side of (4) for L = γ is 2(VᵀV + mI), but for
rounding.
Source: arXiv:2010.01732. `lben_2021_conv` reads the model on images.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from certlip.blocks import Equilibrium, Network, Origin, Sigma
from certlip.blocks.activations import ReLU
from certlip.errors import InputError
from certlip.interop.checkpoints_2020 import (
    expect_format,
    on_images,
    positive_exp,
    read_checkpoint,
)
from certlip.interop.lben_2021_conv import SHAPES as CONV_SHAPES
from certlip.interop.lben_2021_conv import convolutional
from certlip.interop.reading import (
    MNIST_SCALE,
    check_scalars,
    converted,
    normalization,
    parameters,
)

NAME = "lben-2021"
SHAPES = {
    "psi": ("n",),
    "B.weight": ("n", "d"),
    "B.bias": ("n",),
    "V.weight": ("n", "n"),
    "S.weight": ("n", "n"),
    "G.weight": ("q", "n"),
    "G.bias": ("q",),
}


def read_lben_2021(path: Path, values: dict[str, float]) -> Network:
    """The network of the file, with the normalisation as its first block.

    Args:
        values: `gamma` > 0, the claimed bound, and `m` > 0; `mean` and `std` of the normalisation if they
            are not those of MNIST.

    Raises:
        InputError: unreadable or refused, an entry is missing or malformed, γ or m is not given.
    """
    tensors = read_checkpoint(path)
    expect_format(path, tensors, NAME)
    check_scalars(path, NAME, values, {"gamma": "5", "m": "1"})
    images = on_images(tensors)
    found = parameters(path, tensors, CONV_SHAPES if images else SHAPES)
    try:
        freeze = convolutional if images else dense
        block = freeze(found, values["gamma"], values["m"])
        normalize = normalization(values, MNIST_SCALE, block.in_width)
        return converted(path, NAME, values, [normalize, block])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def dense(tensors: list[Tensor], gam: float, m: float) -> Equilibrium:
    """The fully connected model, of the tensors in the order of `SHAPES`: W computed in float64."""
    log_psi, U, b_z, V, S, G, b_y = tensors
    psi = positive_exp(log_psi)
    lam_U = U / psi[:, None]
    R = (G.T @ G + lam_U @ lam_U.T) / (2.0 * gam) + V.T @ V + S.T - S
    W = torch.eye(len(psi), dtype=torch.float64) * (1.0 - m * psi) - psi[:, None] * R
    origin = Origin("lben", {"lip": gam}, {"psi": psi})
    return Equilibrium(W, U, G, b_z, b_y, Sigma.of(ReLU(), len(psi)), origin)
