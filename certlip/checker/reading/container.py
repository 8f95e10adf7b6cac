"""The zip archive and its members, read without trusting what they say of themselves."""

import hashlib
import zipfile
from os import PathLike

import numpy as np

from certlip.checker.reading.document import CertificateError, Rejected, field, only, parse

SCHEMAS, DOCUMENT = ("certlip/certificate/1", "certlip/certificate/2"), "certificate.json"
LIMIT, DOCUMENT_LIMIT = 4 << 30, 64 << 20  # bytes, decompressed: all members, the document


def unpack(path: str | PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the document and its arrays, which are finite and have the listed hashes."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        sizes = {info.filename: info.file_size for info in infos}
        if DOCUMENT not in sizes or len(sizes) != len(infos):
            raise CertificateError(f"{[*sizes]!r:.200}, expected {DOCUMENT} and each once")
        if any(info.compress_type not in (0, zipfile.ZIP_DEFLATED) for info in infos):
            raise CertificateError("unknown compression, expected members stored or deflated")
        if sum(sizes.values()) > LIMIT or sizes[DOCUMENT] > DOCUMENT_LIMIT:
            size = sum(sizes.values())
            raise CertificateError(f"{size} bytes, expected <= {LIMIT} ({DOCUMENT_LIMIT})")
        document = parse(archive.open(DOCUMENT).read(sizes.pop(DOCUMENT)))
        if field(document, "schema", str) not in SCHEMAS:
            raise CertificateError(f"schema {document['schema']!r:.60}, expected {SCHEMAS[-1]!r}")
        listed = field(document, "arrays", dict)
        only(sizes, *(f"{name}.npy" for name in listed))
        return document, {name: _array(archive, name, listed[name]) for name in listed}


def _array(archive: zipfile.ZipFile, name: str, entry: dict) -> np.ndarray:
    """Read one array. It must be as listed, and its header account for every byte of the member.

    A member never gives more than its declared size; what a header asks for beyond is missing.
    """
    only(entry, "dtype", "shape", "sha256")
    with archive.open(f"{name}.npy") as stream:
        array = np.ascontiguousarray(np.lib.format.read_array(stream, allow_pickle=False))
        found, more = (array.dtype.str, [*array.shape]), stream.read(1)
    if (
        more
        or found[0] not in ("<f8", "<f4", "<i8", "|u1")
        or found != (entry["dtype"], entry["shape"])
    ):
        rest = ", and more bytes" if more else ""
        raise CertificateError(f"array {name!r} is {found}{rest}, expected {entry!r:.200}")
    digest = hashlib.sha256(array.data).hexdigest()
    if digest != entry["sha256"]:
        raise Rejected(f"array {name!r} has SHA-256 {digest}, listed {entry['sha256']!r:.80}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Rejected(f"array {name!r} has an entry that is not finite")
    return array
