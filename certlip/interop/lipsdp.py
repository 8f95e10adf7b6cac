"""Example networks of LipSDP (Fazlyab et al., NeurIPS 2019): MATLAB 5.0 files with weights alone.

One variable `weights`, a 1 × K cell array of W_k (out, in);  ReLU between the layers, no biases:

    y = W_K relu(W_{K−1} … relu(W_1 x))

What the file does not store is zero: a bias changes no Lipschitz bound, but may change every class.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import Activation, Affine, Block, Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.errors import InputError
from certlip.interop.matlab import load_mat, real_matrix
from certlip.interop.reading import check_scalars, converted, normalization

NAME = "lipsdp"


def read_lipsdp(path: Path, values: dict[str, float]) -> Network:
    """The network of the file as a chain of affine and activation blocks.

    Args:
        values: `mean` and `std` of an input normalisation; by default there is none.

    Raises:
        InputError: unreadable, no cell array of matrices, or widths that do not fit.
    """
    weights = _weights(path)
    check_scalars(path, NAME, values, {})
    blocks: list[Block] = []
    try:
        if values:
            blocks.append(normalization(values, {"mean": 0.0, "std": 1.0}, weights[0].shape[1]))
        for k, W in enumerate(weights):
            if k:
                blocks.append(Activation(Sigma.of(ReLU(), W.shape[1])))
            blocks.append(Affine(W, torch.zeros(W.shape[0], dtype=torch.float64)))
        return converted(path, NAME, values, blocks)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _weights(path: Path) -> list[Tensor]:
    cells = load_mat(path).get("weights")
    if not isinstance(cells, np.ndarray) or cells.dtype != object or 1 not in cells.shape:
        raise InputError(f"{path}: no cell array 'weights'; expected 1 × K matrices")
    weights: list[Tensor] = []
    for k, cell in enumerate(cells.ravel()):
        name = f"weights{{{k + 1}}}"
        W = real_matrix(path, cell, name, "a matrix (out, in) per layer")
        if weights and W.shape[1] != weights[-1].shape[0]:
            raise InputError(
                f"{path}: {name} has shape {tuple(W.shape)}: expected {weights[-1].shape[0]} "
                "columns, one per row of the layer before"
            )
        weights.append(W)
    return weights
