"""SLL networks: checkpoints of the code of Araujo et al. (ICLR 2023) and of Havens et al. (NeurIPS 2023).

    y = x − 2Wᵀ T⁻¹ relu(Wx + b),   T_i = Σ_j |WWᵀ|_ij q_j/q_i                                        (9)

for dense layers W (k, d) and convolutions K (k, c, kh, kw), with T from the autocorrelation of K.

ICLR 2023: entries `1.kernel`, `1.bias` (1, k, 1, 1), `1.q` (k) and on; kernels of 3 × 3 taps with zero
padding, for which q cancels in the code (it stands for both q_i and q_j); dense layers `weight`,
`bias` (1, k), `q` with q = exp(q); a last layer `weight`, `bias` with rows scaled to norm 1.
NeurIPS 2023: `convs.0.kernel`, `.bias` (k), `.q` with circular padding, `denses.0.weights`, `.bias`, `.q`,
q = |q|; the logits are the first coordinates, and how many is not stored: `--set classes=10`.

T is computed in float64, where the codes compute it in float32 at every call.
Source: arXiv:2303.03169 and Havens et al., NeurIPS 2023, and the names in their published code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from certlip.blocks import Affine, Block, ConvResidual, Network, Residual, Resize, Sigma
from certlip.blocks.activations import ReLU
from certlip.errors import InputError
from certlip.interop.havens_2023 import (
    CIFAR10_MEANS,
    COLOURS,
    check_values,
    classes_of,
    first_blocks,
    pooled,
    read_tensors,
    side_of,
)
from certlip.interop.reading import converted, parameters

NAME = "sll-2023"
_CONV = {"kernel": ("k", "c", "kh", "kw"), "bias": (1, "k", 1, 1), "q": ("k",)}
_DENSE = {"weight": ("k", "d"), "bias": (1, "k"), "q": ("k",)}
_HEAD = {"weight": ("k", "d"), "bias": ("k",)}
_CONV_2 = {"kernel": ("k", "c", "kh", "kw"), "bias": ("k",), "q": ("k",)}
_DENSE_2 = {"weights": ("k", "d"), "bias": ("k",), "q": ("k",)}


def read_sll_2023(path: Path, values: dict[str, float]) -> Network:
    """The network of the file, with its normalisation as the first block.

    Args:
        values: `mean` and `std`, or `mean.0` … `std.2` per colour; `classes` of the NeurIPS code.

    Raises:
        InputError: unreadable or refused, an entry is missing or malformed, or a value is not given.
    """
    layers = _layers(path, read_tensors(path))
    circular = "convs" in {name.partition(".")[0] for name in layers}
    check_values(path, NAME, values, {"classes": "10"} if circular else {})
    try:
        blocks = _circular(path, layers, values) if circular else _zero(path, layers, values)
        return converted(path, NAME, values, blocks)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _zero(
    path: Path, layers: Mapping[str, dict[str, Tensor]], values: dict[str, float]
) -> list[Block]:
    *hidden, last = layers
    W, b = parameters(path, layers[last], _HEAD)
    convs = [name for name in hidden if "kernel" in layers[name]]
    kernels = [parameters(path, layers[name], _CONV) for name in convs]
    denses = [parameters(path, layers[name], _DENSE) for name in hidden if name not in convs]
    c = _channels(kernels)
    side = side_of(W.shape[1], c)
    for K, _, _ in kernels:
        if K.shape[2:] != (3, 3):
            raise InputError(f"a kernel of shape {tuple(K.shape)}: expected 3 × 3 taps")
    return [
        *first_blocks(values, (0.0,) * COLOURS, side, c),
        # the code multiplies and divides a row by the same q: it cancels
        *(conv_residual(K, b.flatten(), torch.ones_like(q), side, "zero") for K, b, q in kernels),
        pooled(c, side),
        *(residual(own, b.flatten(), log_q.exp()) for own, b, log_q in denses),
        Affine(W / W.norm(dim=1, keepdim=True).clamp_min(1e-12), b),
    ]


def _circular(
    path: Path, layers: Mapping[str, dict[str, Tensor]], values: dict[str, float]
) -> list[Block]:
    kernels = [parameters(path, layers[n], _CONV_2) for n in layers if n.startswith("convs.")]
    denses = [parameters(path, layers[n], _DENSE_2) for n in layers if n.startswith("denses.")]
    c = _channels(kernels)
    side = side_of(denses[0][0].shape[1], c) if denses else 32
    features = c * side * side // 16
    return [
        *first_blocks(values, CIFAR10_MEANS, side, c),
        *(conv_residual(K, b, q.abs(), side, "circular") for K, b, q in kernels),
        pooled(c, side),
        *(residual(own, b, q.abs()) for own, b, q in denses),
        Resize(features, classes_of(values)),
    ]


def conv_residual(K: Tensor, b: Tensor, q: Tensor, side: int, padding: str) -> ConvResidual:
    """The block of a convolutional layer with q > 0 (k)."""
    reach = K.shape[2] - 1, K.shape[3] - 1
    sums = F.conv2d(K, K, padding=reach).abs().sum(dim=(2, 3))
    sigma = Sigma.of(ReLU(), len(b) * side * side)
    return ConvResidual(K, _inverse(sums, q), b, sigma, side, side, padding)


def residual(weight: Tensor, b: Tensor, q: Tensor) -> Residual:
    """The block of a dense layer with weight (k, d) and q > 0 (k)."""
    sums = (weight @ weight.T).abs()
    return Residual(weight.T, _inverse(sums, q), b, Sigma.of(ReLU(), len(b)))


def _inverse(sums: Tensor, q: Tensor) -> Tensor:
    """T⁻¹ of (9), 0 for a unit without weights."""
    T = (sums @ q) / q
    if not bool((torch.isfinite(T) & (q > 0.0)).all()):
        raise InputError("q: expected numbers for which T of (9) is finite")
    return torch.where(T > 0.0, 1.0 / T, 0.0)


def _channels(kernels: list[list[Tensor]]) -> int:
    if not kernels:
        raise InputError("no convolutional layer: expected at least one")
    return kernels[0][0].shape[1]


def _layers(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The entries of every layer by its name, in the order of the network."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        layer, _, entry = name.rpartition(".")
        if not re.fullmatch(r"(convs\.|denses\.)?\d{1,4}", layer):
            raise InputError(
                f"{path}: unexpected entry {name!r}; expected those of {NAME}: 1.kernel or convs.0.kernel"
            )
        layers.setdefault(layer, {})[entry] = value
    return {name: layers[name] for name in sorted(layers, key=_place)}


def _place(name: str) -> tuple[str, int]:
    kind, _, number = name.rpartition(".")
    return kind, int(number)
