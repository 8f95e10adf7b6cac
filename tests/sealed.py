"""Certificates taken apart, and sealed again after a change: hashes fit, only claims may be false."""

import hashlib
import io
import json
import zipfile

import numpy as np


def read(path):
    with zipfile.ZipFile(path) as archive:
        document = json.loads(archive.read("certificate.json"))
        arrays = {
            name: np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")))
            for name in document["arrays"]
        }
    return document, arrays


def write(path, document, arrays, *, reseal=True):
    if reseal:
        for name, array in arrays.items():
            document["arrays"][name] = {
                "dtype": array.dtype.str,
                "shape": list(array.shape),
                "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
            }
        document["model"]["sha256"] = model_hash(document, arrays)
        x = arrays["samples.x"]
        x = x / float(document["data"]["divisor"]) if x.dtype == np.uint8 else x
        digest = hashlib.sha256(x.astype("<f8").tobytes())
        digest.update(arrays["samples.label"].astype("<i8").tobytes())
        document["data"]["sha256"] = digest.hexdigest()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("certificate.json", json.dumps(document))
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def model_hash(document, arrays):
    """The recipe of docs/certificate.md."""
    digest = hashlib.sha256()
    for block in document["model"]["blocks"]:
        own = {name: arrays[member] for name, member in block["arrays"].items()}
        shapes = {name: list(array.shape) for name, array in own.items()}
        head = {"kind": block["kind"], "meta": block["meta"], "shapes": shapes}
        digest.update(json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        for name in sorted(own):
            digest.update(own[name].astype("<f8").tobytes())
    return digest.hexdigest()


def scale(name, factor):
    """Multiply an array."""
    return lambda d, a: a.__setitem__(name, a[name] * factor)


def put(name, index, value):
    """Set an entry, or a slice, of an array that is read as a row."""

    def mutate(d, a):
        a[name] = a[name].copy()
        a[name].reshape(-1)[index] = value

    return mutate


def text(path, change):
    """Change an entry of the document, given by its path."""

    def mutate(d, a):
        node = d
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = change(node[path[-1]])

    return mutate


def times(factor):
    """Multiply a number that is written as text."""
    return lambda value: repr(float(value) * factor)
