"""The trained monotone DEQ of Chen, Lasserre, Magron & Pauwels (NeurIPS 2021), a MATLAB 5.0 file.

Variables A, B (n, n), U (n, d), u (n, 1), C (q, n), c (q, 1) in float64;  m is not stored:

    W = (1 − m)I − AᵀA + B − Bᵀ,   z = relu(Wz + Ux + u),   y = Cz + c                          (5)

and x is the image normalised by mean 0.1307 and standard deviation 0.3081.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import Equilibrium, Network, Normalize, Origin, Sigma
from certlip.blocks.activations import ReLU
from certlip.errors import InputError

DEFAULTS = {"mean": 0.1307, "std": 0.3081}


def read_semimondeq(path: Path, values: dict[str, float]) -> Network:
    """The network of the file, with the normalisation as its first block.

    Args:
        values: `m` > 0; `mean` and `std` of the normalisation if they are not those of MNIST.

    Raises:
        InputError: unreadable, a variable is missing or malformed, or m is not given.
    """
    unknown = set(values) - {"m", *DEFAULTS}
    if unknown:
        raise InputError(f"--set {sorted(unknown)[0]}: semimondeq takes m, mean and std")
    if "m" not in values:
        raise InputError(f"{path}: the file does not store m; give it as --set m=20")
    m = values["m"]
    if not 0.0 < m < float("inf"):
        raise InputError(f"--set m={m}: expected a positive number")
    content = _loadmat(path)
    A, B, U, C = (_matrix(path, content, name) for name in ("A", "B", "U", "C"))
    u, c = (_matrix(path, content, name).flatten() for name in ("u", "c"))
    n = A.shape[0]
    for name, array, shape in (("A", A, (n, n)), ("B", B, (n, n)), ("u", u, (n,))):
        if tuple(array.shape) != shape:
            raise InputError(f"{path}: {name} has shape {tuple(array.shape)}: expected {shape}")
    W = (1.0 - m) * torch.eye(n, dtype=torch.float64) - A.T @ A + B - B.T
    scale = {**DEFAULTS, **values}
    ones = torch.ones(U.shape[1], dtype=torch.float64)
    try:
        normalize = Normalize(scale["mean"] * ones, scale["std"] * ones)
        origin = Origin("mondeq", {"m": m})
        block = Equilibrium(W, U, C, u, c, Sigma.of(ReLU(), n), origin)
        return Network([normalize, block], [_history(path, values)])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _history(path: Path, values: dict[str, float]) -> dict[str, Any]:
    return {"step": "convert", "format": "semimondeq", "source": path.name, "values": values}


def _loadmat(path: Path) -> dict[str, Any]:
    import scipy.io

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return scipy.io.loadmat(path)
    except Exception as error:
        # SciPy's reader raises whatever a malformed file runs it into
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a readable MATLAB 5 file ({line})") from None


def _matrix(path: Path, content: dict[str, Any], name: str) -> Tensor:
    value = content.get(name)
    # integers too: MATLAB packs doubles that are whole numbers into the shortest that hold them
    if (
        not isinstance(value, np.ndarray)
        or value.ndim != 2
        or not (value.dtype.kind == "f" or (value.dtype.kind in "iu" and value.dtype.itemsize <= 4))
    ):
        raise InputError(f"{path}: no real matrix {name!r}; expected A, B, U, u, C, c")
    return torch.from_numpy(np.ascontiguousarray(value, dtype=np.float64))
