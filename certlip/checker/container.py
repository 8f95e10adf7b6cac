"""The zip container: read the document and the arrays without trusting what they say of themselves.

Sizes are compared with limits and with each other before anything is decompressed, no more than the
declared size is ever read, and nothing is unpickled.
"""

import ast
import hashlib
import json
import math
import zipfile

import numpy as np

from certlip.checker.document import field, items, only
from certlip.checker.verdict import CertificateError, Rejected

SCHEMA = "certlip/certificate/1"
DOCUMENT = "certificate.json"
LIMIT = 4 << 30
DOCUMENT_LIMIT = 64 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read(path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the document and its arrays, finite and with the listed hashes.

    Raises:
        CertificateError: the file is not a certificate of this version.
        Rejected: an array has another hash than listed, or an entry that is not finite.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            if DOCUMENT not in members:
                raise CertificateError(f"no member {DOCUMENT!r}, expected a certificate")
            document = parse(_payload(archive, members.pop(DOCUMENT), DOCUMENT_LIMIT))
            if field(document, "schema", str) != SCHEMA:
                raise CertificateError(f"schema {document['schema']!r:.60}, expected {SCHEMA!r}")
            listed = field(document, "arrays", dict)
            if {f"{name}.npy" for name in listed} != set(members):
                odd = sorted({f"{name}.npy" for name in listed} ^ set(members))
                raise CertificateError(f"members {odd!r:.200} are only listed or only stored")
            return document, {
                name: _array(name, field(listed, name, dict), archive, members[f"{name}.npy"])
                for name in listed
            }
    except (CertificateError, Rejected):
        raise
    except Exception as error:  # a hostile file can make zipfile and zlib raise nearly anything
        raise CertificateError(f"{type(error).__name__}: {error}; expected a zip file") from None


def parse(text: bytes) -> dict:
    """Parse strict JSON: no NaN, no infinity, no duplicate key, an object at the top."""
    document = json.loads(
        text.decode("utf-8"),
        object_pairs_hook=_unique,
        parse_constant=_finite,
        parse_float=_finite,
    )
    if type(document) is not dict:
        raise CertificateError(f"{DOCUMENT} is {document!r:.60}, expected an object")
    return document


def _unique(pairs: list) -> dict:
    node = dict(pairs)
    if len(node) != len(pairs):
        keys = [key for key, _ in pairs]
        raise CertificateError(f"duplicate JSON key among {keys!r:.200}, expected each once")
    return node


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise CertificateError(f"JSON number {text:.60}, expected a finite one")
    return float(text)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise CertificateError(f"{len(infos)} members under {len(members)} names, expected unique")
    for info in infos:
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise CertificateError(f"member {info.filename!r}: expected stored or deflated")
    size = sum(info.file_size for info in infos)
    if size > LIMIT:
        raise CertificateError(f"declared size {size} bytes, expected at most {LIMIT}")
    return members


def _payload(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """Read one member, exactly as many bytes as declared."""
    if info.file_size > limit:
        raise CertificateError(
            f"member {info.filename!r} of {info.file_size} bytes, expected at most {limit}"
        )
    with archive.open(info) as stream:
        data = stream.read(info.file_size)
    if len(data) != info.file_size:
        raise CertificateError(
            f"member {info.filename!r} has {len(data)} bytes, expected {info.file_size}"
        )
    return data


def _array(name: str, entry: dict, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """Read one array. Its header must repeat the listing and account for every byte."""
    only(entry, "dtype", "shape", "sha256")
    dtype, shape = field(entry, "dtype", str), tuple(items(field(entry, "shape", list), int))
    if dtype not in ("<f8", "<i8", "|u1") or any(size < 0 for size in shape):
        raise CertificateError(f"array {name!r}: {dtype!r} {shape}, expected <f8, <i8 or |u1")
    data = _payload(archive, info, LIMIT)
    width = {1: 2, 2: 4}.get(data[6] if len(data) > 12 and data[:6] == b"\x93NUMPY" else 0)
    if width is None:
        raise CertificateError(f"array {name!r} begins with {data[:8]!r}, expected NumPy 1.0 or 2.0")
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if start - 8 - width > 10_000:
        raise CertificateError(f"array {name!r}: header of {start} bytes, expected at most 10000")
    header = ast.literal_eval(data[8 + width : start].decode("latin-1").strip())
    order = header.get("fortran_order") if isinstance(header, dict) else None
    if header != {"descr": dtype, "fortran_order": order, "shape": shape} or type(order) is not bool:
        raise CertificateError(f"array {name!r}: header {header!r:.200}, listed {dtype!r} {shape}")
    if len(data) - start != math.prod(shape) * np.dtype(dtype).itemsize:
        raise CertificateError(f"array {name!r}: {len(data) - start} bytes, expected {shape} {dtype}")
    flat = np.frombuffer(data, dtype, offset=start)
    array = np.ascontiguousarray(flat.reshape(shape[::-1]).T if order else flat.reshape(shape))
    digest = hashlib.sha256(array.reshape(-1)).hexdigest()
    if digest != field(entry, "sha256", str):
        raise Rejected(f"array {name!r} has SHA-256 {digest}, listed {entry['sha256']!r:.80}")
    if dtype == "<f8" and not np.isfinite(array).all():
        raise Rejected(f"array {name!r} has an entry that is not finite")
    return array
