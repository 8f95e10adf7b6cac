"""Linear systems of several matrices."""

from __future__ import annotations

import torch
from torch import Tensor

#: Rows from which on matrices on a CPU are solved one after the other.
LARGE = 128


def solve(A: Tensor, B: Tensor) -> Tensor:
    """A⁻¹B for A (…, n, n) and B (…, n, k) with the same batch, differentiable.

    MKL's LU of several matrices of 192 rows or more at a time fails, or is wrong without a word, once
    torch's number of threads was set to more than one (torch 2.13); one matrix at a time is right, and
    keeps all threads busy.

    Raises:
        RuntimeError: torch's LinAlgError, of a matrix that is singular.
    """
    if A.ndim == 2 or A.device.type != "cpu" or A.shape[-1] < LARGE:
        return torch.linalg.solve(A, B)
    n, k = B.shape[-2:]
    pairs = zip(A.reshape(-1, n, n), B.reshape(-1, n, k), strict=True)
    return torch.stack([torch.linalg.solve(a, b) for a, b in pairs]).reshape(B.shape)
