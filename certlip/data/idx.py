"""IDX files, the format of MNIST: a big-endian header, then unsigned bytes.

Header: magic 0x0000_08_dd with dd = number of dimensions (08 = unsigned bytes), then one 32-bit
size per dimension. The caller says which sizes it expects, so a file can neither surprise nor
exhaust memory: at most the declared bytes and one more are asked for. A file without gzip is mapped.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np

from certlip.errors import InputError


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of an IDX file of unsigned bytes.

    Args:
        path: The file; gzip exactly if its name ends in `.gz`.
        shape: The sizes the header must declare.

    Returns:
        uint8 array of `shape`.

    Raises:
        InputError: unreadable, not gzip, wrong magic or sizes, truncated, or trailing bytes.
    """
    try:
        with _open(path) as stream:
            return _parse(stream, path, shape)
    except gzip.BadGzipFile as error:
        raise InputError(f"{path}: {error}; expected a gzip file") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip stream ({error}); expected a whole file") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a readable file") from error


def _open(path: Path) -> io.BufferedIOBase:
    return gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")


def _parse(stream: io.BufferedIOBase, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    magic = 0x0800 | len(shape)
    size = 4 + 4 * len(shape)
    header = stream.read(size)
    if len(header) < size:
        raise InputError(f"{path}: {len(header)} bytes; expected an IDX header of {size} bytes")
    found, *declared = struct.unpack(f">{1 + len(shape)}I", header)
    if found != magic:
        raise InputError(f"{path}: magic number {found} (0x{found:08x}); expected {magic}")
    if tuple(declared) != shape:
        raise InputError(f"{path}: declares {_times(declared)} entries; expected {_times(shape)}")
    count = int(np.prod(shape, dtype=np.int64))
    packed = path.suffix == ".gz"
    body = stream.read(count + 1) if packed else b""
    found = len(body) if packed else path.stat().st_size - size
    if found < count:
        raise InputError(f"{path}: truncated, {found:,} bytes of data; expected {count:,}")
    if found > count:
        raise InputError(f"{path}: trailing bytes; expected {count:,} bytes of data and no more")
    if packed:
        return np.frombuffer(body, dtype=np.uint8).reshape(shape)
    return np.memmap(path, np.uint8, "r", size, shape)


def _times(sizes: list[int] | tuple[int, ...]) -> str:
    return " × ".join(f"{size:,}" for size in sizes)
