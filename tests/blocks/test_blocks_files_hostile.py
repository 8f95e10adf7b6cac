"""Bytes that are no model file: refused in one line, never executed, never half accepted."""

import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from model_files import (
    assert_refused,
    both,
    flipped_bytes,
    network,
    parts,
    t,
)

from certlip.blocks import (
    load,
    save,
)

TORCH_ONLY = {
    "huge by stride 0": (lambda: t(1).expand(1 << 40, 2), "own numbers"),
    "huge kernel by stride 0": (lambda: t(1).expand(1 << 40, 2, 1, 2), "own numbers"),
    "small by stride 0": (lambda: t(1, 1).expand(3, 2), "own numbers"),
    "sparse": (lambda: t(3, 2).to_sparse(), "own numbers"),
    "complex": (lambda: t(3, 2).to(torch.complex128), "complex128"),
    "meta": (lambda: torch.empty(3, 2, dtype=torch.float64, device="meta"), "own numbers"),
    "nested": (lambda: torch.nested.nested_tensor([t(2), t(2)]), None),
    "no tensor": (lambda: [1.0, 2.0], "not one written by certlip"),
    "negated": (lambda: torch.complex(t(3, 2), t(3, 2)).conj().imag, "hash to"),
}


@pytest.mark.parametrize("name", TORCH_ONLY)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tensors_that_only_a_torch_file_can_hold_are_refused(tmp_path, name):
    make, match = TORCH_ONLY[name]
    document, tensors = parts()
    for target in ("block1.U", "block1.origin.psi"):
        content = {"document": json.dumps(document), "tensors": {**tensors, target: make()}}
        path = tmp_path / "m.pt"
        torch.save(content, path)
        assert_refused(path, match if target == "block1.U" else None)


CONTENTS = {
    "a list": [1, 2],
    "a tensor": torch.ones(3),
    "no tensors": {"document": "{}"},
    "no document": {"tensors": {}},
    "a document of bytes": {"document": b"{}", "tensors": {}},
    "tensors as a list": {"document": "{}", "tensors": [torch.ones(1)]},
    "a state": {"layer.weight": torch.ones(2, 2)},
    "None": None,
}


@pytest.mark.parametrize("name", CONTENTS)
def test_torch_files_of_something_else_are_refused(tmp_path, name):
    torch.save(CONTENTS[name], tmp_path / "m.pt")
    assert_refused(tmp_path / "m.pt", "not one written by certlip")


class Marks:
    """Runs code when it is unpickled by a reader that runs code."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (open, (self.marker, "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle", "inside tensors"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, form):
    marker, path = tmp_path / "marker", tmp_path / "m.pt"
    document, tensors = parts()
    content = {"document": json.dumps(document), "tensors": tensors, "more": Marks(marker)}
    if form == "inside tensors":
        content = {"document": json.dumps(document), "tensors": {**tensors, "x": Marks(marker)}}
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(Marks(marker)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form != "legacy")
    assert_refused(path, "refused")
    assert not marker.exists()
    pickle.loads(pickle.dumps(Marks(marker))).close()
    assert marker.exists()  # the trap itself works


def test_a_whole_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt")
    assert_refused(tmp_path / "m.pt", "refused")


RAW = {
    "empty": b"",
    "one byte": b"\x80",
    "text": b"not a model\n" * 20,
    "zeros": bytes(5000),
    "random": np.random.default_rng(0).bytes(5000),
    "a plain pickle": pickle.dumps({"document": "{}", "tensors": {}}),
    "zip magic": b"PK\x03\x04" + bytes(100),
    "header length beyond the file": struct.pack("<Q", 10**6) + b"{}",
    "header length absurd": struct.pack("<Q", 2**63 - 1) + b"{}" * 50,
    "header not JSON": struct.pack("<Q", 8) + b"{[[[[[[[",
    "header with other keys": struct.pack("<Q", 9) + b'{"a": 42}',
    "data beyond the file": (lambda h: struct.pack("<Q", len(h)) + h + bytes(8))(
        b'{"a":{"dtype":"F64","shape":[100],"data_offsets":[0,800]}}'
    ),
    "shape against offsets": (lambda h: struct.pack("<Q", len(h)) + h + bytes(8))(
        b'{"a":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8]}}'
    ),
    "shape that overflows": (lambda h: struct.pack("<Q", len(h)) + h + bytes(8))(
        b'{"a":{"dtype":"F64","shape":[4294967296,4294967297],"data_offsets":[0,8]}}'
    ),
    "a valid file of something else": (lambda h: struct.pack("<Q", len(h)) + h + bytes(8))(
        b'{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}'
    ),
}


@both
@pytest.mark.parametrize("name", RAW)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_bytes_that_are_no_model_are_refused(tmp_path, suffix, name):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(RAW[name])
    assert_refused(path)


def test_zip_files_of_something_else_are_refused(tmp_path):
    path = tmp_path / "m.pt"
    for members in ({}, {"a.txt": b"x"}, {"m/data.pkl": b""}, {"m/data.pkl": b"\x80\x02K\x01."}):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        assert_refused(path)


@both
def test_a_file_cut_anywhere_is_refused(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    save(network(), path)
    data = path.read_bytes()
    for length in np.linspace(0, len(data) - 1, 40).astype(int):
        path.write_bytes(data[:length])
        assert_refused(path)


@both
@pytest.mark.filterwarnings("ignore")
def test_a_file_with_a_flipped_byte_is_refused_or_the_same_function(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    save(network(), path)
    expected = network().sha256()
    for outcome in flipped_bytes(path, 0):
        assert outcome == expected or str(path) in outcome


def test_a_legacy_torch_file_with_a_flipped_byte_is_refused_or_the_same_function(tmp_path):
    document, tensors = parts()
    path = tmp_path / "m.pt"
    content = {"document": json.dumps(document), "tensors": tensors}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    expected = network().sha256()
    assert load(path).sha256() == expected
    for outcome in flipped_bytes(path, 1):
        assert outcome == expected or str(path) in outcome
