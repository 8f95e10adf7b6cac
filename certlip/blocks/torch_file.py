"""Torch files of others: tensors and plain values, never code, and nothing that is larger than the file."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from certlip.errors import InputError

_ZIP = b"PK\x03\x04"
"""How an archive begins; whatever does not is read in the older format."""


def load_plain(path: Path) -> Any:
    """The content of a torch file, on the CPU.

    Raises:
        InputError: not readable, a pickle that needs code (refused, never executed), or an archive that
            expands.
    """
    try:
        _check_archive(path)
        with warnings.catch_warnings():  # about how it is pickled
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: refused, it holds more than tensors and plain values (or is no torch file)"
        ) from None
    except Exception as error:  # the reader raises anything on damaged bytes, struct.error included
        raise InputError(f"{path}: not a readable torch file ({line_of(error)})") from None


def owns_numbers(tensor: Tensor) -> bool:
    """Whether a tensor is dense, on the CPU, and stores all its entries.

    A stored view with stride 0 may claim far more entries than it has: never expand it unasked.
    """
    return (
        tensor.layout == torch.strided
        and not tensor.is_nested
        and not tensor.is_quantized
        and tensor.device.type == "cpu"
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def line_of(error: BaseException) -> str:
    """The first line of an exception's text, short."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first if len(first) <= 160 else first[:157] + "…"


def _check_archive(path: Path) -> None:
    """Torch packs nothing, so an archive that is packed or overlaps itself was made to expand."""
    with path.open("rb") as stream:
        if stream.read(4) != _ZIP:
            return
        try:
            with zipfile.ZipFile(stream) as archive:
                infos = archive.infolist()
        except Exception as error:  # torch's own reader might see another archive in it
            raise InputError(f"{path}: not a readable torch file ({line_of(error)})") from None
        packed = any(info.compress_type != zipfile.ZIP_STORED for info in infos)
        if packed or sum(info.file_size for info in infos) > path.stat().st_size:
            raise InputError(f"{path}: refused, an archive that expands; torch writes none")
