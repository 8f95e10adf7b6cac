"""The samples that a function is given, and how a document names them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from certlip.data import Dataset
from certlip.errors import InputError

Samples = Dataset | np.ndarray | torch.Tensor


def dataset_of(data: Samples, label: Any, classes: int) -> Dataset:
    """The samples as a dataset.

    Raises:
        InputError: arrays or tensors without labels, or that are not one row per sample.
    """
    if isinstance(data, Dataset):
        return data
    if label is None:
        raise InputError("label: expected the classes of the inputs")
    values, labels = (np.asarray(torch.as_tensor(a).detach().cpu()) for a in (data, label))
    if values.ndim < 2:
        raise InputError(f"data of shape {values.shape}: expected (n, …), one row per sample")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels of {labels.dtype}: expected integers")
    return Dataset(
        "array",
        "given",
        values.reshape(len(values), -1),
        labels.astype(np.int64),
        classes,
        values.shape[1:],
    )


def described(data: Dataset) -> dict[str, Any]:
    """The `data` of a document."""
    return {
        "name": data.name,
        "split": data.split,
        "n": len(data),
        "sha256": data.sha256(),
        "shape": list(data.shape),
    }
