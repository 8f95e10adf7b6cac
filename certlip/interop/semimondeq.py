"""The trained monotone DEQ of Chen, Lasserre, Magron & Pauwels (NeurIPS 2021), a MATLAB 5.0 file.

Variables A, B (n, n), U (n, d), u (n, 1), C (q, n), c (q, 1) in float64;  m is not stored:

    W = (1 − m)I − AᵀA + B − Bᵀ,   z = relu(Wz + Ux + u),   y = Cz + c                          (5)

and x is the image normalised by mean 0.1307 and standard deviation 0.3081.
"""

from __future__ import annotations

from pathlib import Path

from certlip.blocks import Network
from certlip.errors import InputError
from certlip.interop.matlab import load_mat, real_matrix
from certlip.interop.monotone import monotone_equilibrium
from certlip.interop.reading import MNIST_SCALE, check_scalars, converted, normalization

NAME = "semimondeq"
VARIABLES = ("A", "B", "U", "u", "C", "c")


def read_semimondeq(path: Path, values: dict[str, float]) -> Network:
    """The network of the file, with the normalisation as its first block.

    Args:
        values: `m` > 0; `mean` and `std` of the normalisation if they are not those of MNIST.

    Raises:
        InputError: unreadable, a variable is missing or malformed, or m is not given.
    """
    content = load_mat(path)
    check_scalars(path, NAME, values, {"m": "20"})
    A, B, U, u, C, c = (
        real_matrix(path, content.get(name), name, ", ".join(VARIABLES)) for name in VARIABLES
    )
    n, q = A.shape[0], C.shape[0]
    shapes = {"A": (A, (n, n)), "B": (B, (n, n)), "u": (u, (n, 1)), "c": (c, (q, 1))}
    for name, (array, shape) in shapes.items():
        if tuple(array.shape) != shape:
            raise InputError(f"{path}: {name} has shape {tuple(array.shape)}: expected {shape}")
    try:
        normalize = normalization(values, MNIST_SCALE, U.shape[1])
        block = monotone_equilibrium(A, B, U, C, u[:, 0], c[:, 0], values["m"])
        return converted(path, NAME, values, [normalize, block])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
