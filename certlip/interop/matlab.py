"""MATLAB 5.0 files, which keep their variables packed: nothing is expanded that would fill the memory."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from certlip.blocks.torch_file import line_of
from certlip.errors import InputError
from certlip.interop.reading import check_file, finite

PACKED, PIECE, MOST = 15, 2**16, 2**29
"""Type of a packed element of a MATLAB file; bytes that are expanded at once, and in all."""


def load_mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB 5.0 file.

    Raises:
        InputError: no such file, or not readable.
    """
    import scipy.io

    check_file(path)
    try:
        _check_expanded(path)
        return scipy.io.loadmat(path)
    except InputError:
        raise
    except Exception as error:
        # SciPy's reader raises whatever a malformed file runs it into
        raise InputError(f"{path}: not a readable MATLAB 5 file ({line_of(error)})") from None


def real_matrix(path: Path, value: Any, name: str, expected: str) -> Tensor:
    """A MATLAB variable as a matrix.

    Raises:
        InputError: it is none, or not of real finite numbers; `expected` says what belongs there.
    """
    # integers too: MATLAB packs doubles that are whole numbers into the shortest that hold them
    if (
        not isinstance(value, np.ndarray)
        or value.ndim != 2
        or not (value.dtype.kind == "f" or (value.dtype.kind in "iu" and value.dtype.itemsize <= 4))
        or value.dtype.itemsize > 8
    ):
        raise InputError(f"{path}: no real matrix {name!r}; expected {expected}")
    matrix = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float64))
    return finite(path, name, matrix)


def _check_expanded(path: Path) -> None:
    """Expands every packed variable once, piece by piece, so that none fills the memory later.

    A MATLAB 5.0 file is a header of 128 bytes, then elements: type and size in 32 bits each, then as
    many bytes. Type 15 is packed by zlib.
    """
    total = 0
    with path.open("rb") as stream:
        header = stream.read(128)
        order = "<" if header[126:128] == b"IM" else ">"
        while len(tag := stream.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            if kind != PACKED:
                stream.seek(size, 1)
                continue
            unpack, left = zlib.decompressobj(), size
            while left and (piece := stream.read(min(left, PIECE))):
                left -= len(piece)
                while piece:
                    total += len(unpack.decompress(piece, PIECE))
                    piece = unpack.unconsumed_tail
                    if total > MOST:
                        raise InputError(f"{path}: expands to more than {MOST:,} bytes")
