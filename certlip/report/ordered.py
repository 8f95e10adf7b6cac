"""Many numbers in ascending order, in a temporary file that is mapped: no memory of their number."""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from certlip.errors import InputError

CHUNK = 2**13
"""Numbers written at a time."""


def ordered(values: Iterable[float]) -> Sequence[float]:
    """Return the values, none of them NaN, ascending.

    Raises:
        InputError: there is no room for the temporary file.
    """
    return _sorted(iter(values), "f8")


def ordered_pairs(pairs: Iterable[tuple[float, float]]) -> Sequence[float]:
    """Return the second numbers of pairs, those with the least first number first, each group ascending.

    Raises:
        InputError: as `ordered`.
    """
    # NumPy orders complex numbers by their real parts, then by the imaginary ones
    return _sorted((number for pair in pairs for number in pair), "c16")[1::2]


def median(values: Sequence[float]) -> float:
    """Return the median of one or more ascending values."""
    n = len(values)
    return values[n // 2] if n % 2 else (values[n // 2 - 1] + values[n // 2]) / 2


def _sorted(values: Iterator[float], dtype: str) -> Sequence[float]:
    import numpy as np

    try:
        with tempfile.TemporaryFile() as file:
            while chunk := array("d", islice(values, CHUNK)):
                chunk.tofile(file)
            file.flush()
            if file.tell() == 0:
                return ()
            view = memoryview(mmap.mmap(file.fileno(), 0))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{tempfile.gettempdir()}: cannot be written ({reason})") from None
    np.frombuffer(view, dtype=dtype).sort()
    return view.cast("d")
