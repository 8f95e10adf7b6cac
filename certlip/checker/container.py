"""The zip container, read without trusting what it says of itself.

Sizes are compared with limits before anything is decompressed, no more than the declared size is
ever read, and nothing is unpickled.
"""

import hashlib
import io
import json
import math
import zipfile

import numpy as np

from certlip.checker.document import CertificateError, Rejected, field, only

SCHEMA, DOCUMENT = "certlip/certificate/1", "certificate.json"
LIMIT, DOCUMENT_LIMIT = 4 << 30, 64 << 20  # bytes, decompressed: all members, the document


def unpack(path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the document and its arrays, which are finite and have the listed hashes."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            members = {info.filename: info for info in infos}
            if DOCUMENT not in members or len(members) != len(infos):
                raise CertificateError(f"{[*members]!r:.200}, expected {DOCUMENT} and each once")
            if any(info.compress_type not in (0, zipfile.ZIP_DEFLATED) for info in infos):
                raise CertificateError("unknown compression, expected members stored or deflated")
            size = sum(info.file_size for info in infos)
            if size > LIMIT or members[DOCUMENT].file_size > DOCUMENT_LIMIT:
                raise CertificateError(f"{size} bytes, expected <= {LIMIT} ({DOCUMENT_LIMIT})")
            # `read(size)` stops at the declared size; what is missing then fails a later check
            info = members.pop(DOCUMENT)
            document = parse(archive.open(info).read(info.file_size))
            if field(document, "schema", str) != SCHEMA:
                raise CertificateError(f"schema {document['schema']!r:.60}, expected {SCHEMA!r}")
            listed = field(document, "arrays", dict)
            only(members, *(f"{name}.npy" for name in listed))
            arrays = {}
            for name in listed:
                data = archive.open(f"{name}.npy").read(members[f"{name}.npy"].file_size)
                arrays[name] = _array(name, field(listed, name, dict), data)
            return document, arrays
    except (CertificateError, Rejected):
        raise
    except Exception as error:  # a hostile file makes zipfile, zlib or json raise nearly anything
        text = f"{type(error).__name__} {str(error)!r:.200}"
        raise CertificateError(f"{text}, expected a certificate (zip file)") from None


def parse(text: bytes) -> dict:
    """Parse strict JSON: no NaN, no infinity, no duplicate key, an object at the top."""
    hooks = {"parse_constant": _finite, "parse_float": _finite, "object_pairs_hook": _unique}
    return field({DOCUMENT: json.loads(text.decode("utf-8"), **hooks)}, DOCUMENT, dict)


def _unique(pairs: list) -> dict:
    if len(dict(pairs)) != len(pairs):
        raise CertificateError(f"JSON object {pairs!r:.200}, expected each key once")
    return dict(pairs)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise CertificateError(f"JSON number {text:.60}, expected a finite one")
    return float(text)


def _array(name: str, entry: dict, data: bytes) -> np.ndarray:
    """Read one array. Its header must repeat the listing and account for every byte."""
    only(entry, "dtype", "shape", "sha256")
    listed = (field(entry, "dtype", str), tuple(field(entry, "shape", list, int)))
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise CertificateError(f"array {name!r} begins {data[:8]!r}, expected NumPy format 1.0")
    shape, transposed, dtype = np.lib.format.read_array_header_1_0(stream)
    size, complete = len(data) - stream.tell(), math.prod(shape) * dtype.itemsize
    if dtype.str not in ("<f8", "<i8", "|u1") or listed != (dtype.str, shape) or size != complete:
        found = f"{dtype.str} {shape} in {size} bytes"
        raise CertificateError(f"array {name!r} is {found}, expected {listed!r:.200}")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    array = np.ascontiguousarray(flat.reshape(shape[::-1]).T if transposed else flat.reshape(shape))
    digest = hashlib.sha256(array.data).hexdigest()
    if digest != field(entry, "sha256", str):
        raise Rejected(f"array {name!r} has SHA-256 {digest}, listed {entry['sha256']!r:.80}")
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise Rejected(f"array {name!r} has an entry that is not finite")
    return array
