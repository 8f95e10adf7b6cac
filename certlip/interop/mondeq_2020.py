"""Monotone DEQs of the code of Revay, Wang & Manchester (2020), after Winston & Kolter (2020): state dicts.

Entries A, B (n, n), U (n, d), its bias (n), Wout (q, n), its bias (q);  m is not stored:

    W = (1 − m)I − AᵀA + B − Bᵀ,   z = relu(Wz + Ux + U.bias),   y = Wout z + Wout.bias         (5)

and x is the image normalised by mean 0.1307 and standard deviation 0.3081.
"""

from __future__ import annotations

from pathlib import Path

from certlip.blocks import Network
from certlip.errors import InputError
from certlip.interop.checkpoints_2020 import expect_format, read_checkpoint
from certlip.interop.monotone import monotone_equilibrium
from certlip.interop.reading import (
    MNIST_SCALE,
    check_scalars,
    converted,
    normalization,
    parameters,
)

NAME = "mondeq-2020"
SHAPES = {
    "A.weight": ("n", "n"),
    "B.weight": ("n", "n"),
    "U.weight": ("n", "d"),
    "U.bias": ("n",),
    "Wout.weight": ("q", "n"),
    "Wout.bias": ("q",),
}


def read_mondeq_2020(path: Path, values: dict[str, float]) -> Network:
    """The network of the file, with the normalisation as its first block.

    Args:
        values: `m` > 0; `mean` and `std` of the normalisation if they are not those of MNIST.

    Raises:
        InputError: unreadable or refused, an entry is missing or malformed, or m is not given.
    """
    tensors = read_checkpoint(path)
    expect_format(path, tensors, NAME)
    check_scalars(path, NAME, values, {"m": "1"})
    A, B, U, b_z, G, b_y = parameters(path, tensors, SHAPES)
    try:
        normalize = normalization(values, MNIST_SCALE, U.shape[1])
        block = monotone_equilibrium(A, B, U, G, b_z, b_y, values["m"])
        return converted(path, NAME, values, [normalize, block])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
