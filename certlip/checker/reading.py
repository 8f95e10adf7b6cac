"""Reading a certificate file: a zip archive, JSON and arrays. Nothing is proven here.

Sizes are compared with limits before anything is decompressed, no more than the declared size is
ever read, and nothing is unpickled. A hostile file may raise nearly any exception.
"""

import json
import math
import re
import zipfile
from fractions import Fraction
from hashlib import sha256
from typing import Any

import numpy as np

SCHEMA, DOCUMENT = "certlip/certificate/2", "certificate.json"
LIMIT, DOCUMENT_LIMIT = 4 << 30, 64 << 20  # bytes, decompressed: all members, the document
_NUMBER = re.compile(r"\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?(/0*[1-9]\d{0,39})?", re.ASCII)


class CertificateError(ValueError):
    """The file cannot be read as a certificate: nothing was judged."""


class Rejected(Exception):
    """A claim of a readable certificate could not be proven; becomes a verdict."""


def unpack(path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the document and its arrays, which are finite and have the listed hashes."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        sizes = {info.filename: info.file_size for info in infos}
        packed = {info.compress_type for info in infos} - {0, zipfile.ZIP_DEFLATED}
        if DOCUMENT not in sizes or len(sizes) != len(infos) or packed:
            raise CertificateError(f"{[*sizes]!r:.180}, expected {DOCUMENT}, each once, deflated")
        most = min(LIMIT, DOCUMENT_LIMIT + 100 * archive.start_dir)  # where the packed bytes end
        if (size := sum(sizes.values())) > most or sizes[DOCUMENT] > DOCUMENT_LIMIT:
            raise CertificateError(f"{size} bytes, expected <= {most} ({DOCUMENT_LIMIT})")
        text = archive.open(DOCUMENT).read(sizes.pop(DOCUMENT)).decode("utf-8")
        # no NaN, no infinity, which no Fraction is, no duplicate key, an object at the top
        document = {**json.loads(text, parse_constant=Fraction, object_pairs_hook=_unique)}
        if document["schema"] != SCHEMA:
            raise CertificateError(f"schema {document['schema']!r:.60}, expected {SCHEMA!r}")
        only(sizes, *(f"{name}.npy" for name in document["arrays"]))
        arrays = {}
        for name, listed in document["arrays"].items():
            with archive.open(f"{name}.npy") as stream:  # which ends at the declared size
                array = np.ascontiguousarray(np.lib.format.read_array(stream, allow_pickle=False))
                rest = ", and more bytes" if stream.read(1) else ""
            found = {"dtype": array.dtype.str, "shape": [*array.shape], "sha256": digest([array])}
            if rest or found != listed or array.dtype.str not in "<f8 <f4 <i8 |u1":
                raise CertificateError(f"array {name!r} is {found}{rest}, expected {listed!r:.200}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Rejected(f"array {name!r} has an entry that is not finite")
            arrays[name] = array
    return document, arrays


def _unique(pairs: list) -> dict:
    if len(dict(pairs)) != len(pairs):
        raise CertificateError(f"JSON object {pairs!r:.200}, expected each key once")
    return dict(pairs)


def digest(parts: Any) -> str:
    """Return the SHA-256 of bytes and C-ordered arrays, one after the other."""
    hashed = sha256()
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()


def only(node: dict, *keys: str) -> dict:
    """Return the object, which must have just these keys: an unknown one might change a meaning."""
    if type(node) is not dict or set(node) != set(keys):
        raise CertificateError(f"keys {sorted(node)!r:.200}, expected {sorted(keys)}")
    return node


def number(text: Any, kind: Any = float) -> Any:
    """Return what a text such as 0.1, 1e-3 or 36/255 denotes: as a double, or as a `Fraction`."""
    if type(text) is str and _NUMBER.fullmatch(text) and kind(text) < math.inf:
        return kind(text)
    raise CertificateError(f"{text!r:.60}, expected a finite number >= 0 as text")


def take(arrays: dict[str, np.ndarray], name: str, dtypes: str, shape: tuple) -> np.ndarray:
    """Return a stored array of one of these dtypes and of this shape; None admits any size > 0."""
    A = arrays[name]
    sizes = [max(s, 1) if w is None else w for s, w in zip(A.shape, shape, strict=False)]
    if [*A.shape] != sizes or A.ndim != len(shape) or A.dtype.str not in dtypes:
        raise CertificateError(
            f"array {name!r}, {A.dtype.str} {A.shape}, expected {dtypes} {shape}"
        )
    return A
