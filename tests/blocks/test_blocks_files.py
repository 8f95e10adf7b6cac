"""Model files: what is written is read back, and nothing else is ever accepted or left behind."""

import json
import math
import pickle
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from certlip.blocks import (
    Activation,
    Affine,
    Equilibrium,
    Network,
    Normalize,
    Origin,
    Residual,
    Sigma,
    files,
    load,
    save,
)
from certlip.blocks.activations import activation
from certlip.errors import InputError

SUFFIXES = [".pt", ".safetensors"]
both = pytest.mark.parametrize("suffix", SUFFIXES)


def t(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def network():
    sigma = Sigma(((activation("identity"), 2), (activation("elu", {"alpha": 1 / 3}), 1)))
    origin = Origin("lben", {"lip": 1.5}, {"psi": t(3).abs() + 0.1})
    equilibrium = Equilibrium(t(3, 3), t(3, 2), t(4, 3), t(3), t(4), sigma, origin)
    residual = Residual(t(4, 2), t(2).abs(), t(2), Sigma.of(activation("tanh"), 2))
    blocks = [Normalize(t(2), t(2).abs() + 1), equilibrium, residual]
    blocks += [Activation(Sigma.of(activation("leaky_relu", {"slope": 0.1}), 4))]
    history = [{"step": "train", "epochs": 3, "note": "é", "loss": 0.1, "nested": {"a": [1, None]}}]
    return Network([*blocks, Affine(t(2, 4), t(2))], history)


def equilibrium_of(net):
    block = net.blocks[1]
    assert isinstance(block, Equilibrium)
    return block


def parts(net=None):
    """The document and the tensors of a valid file."""
    document, tensors = files._pack(net or network())
    return json.loads(json.dumps(document)), dict(tensors)


def write(path, document, tensors):
    """A file of the right form with any content."""
    text = document if isinstance(document, str) else json.dumps(document)
    if path.suffix == ".pt":
        torch.save({"document": text, "tensors": tensors}, path)
    else:
        save_file(tensors, path, metadata={"certlip": text})
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def hash_or_refusal(path):
    try:
        return load(path).sha256()
    except InputError as error:
        return str(error)


def assert_refused(path, match=None):
    with pytest.raises(InputError, match=match) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 500


@both
def test_a_network_survives_the_round_trip(tmp_path, suffix):
    original = network()
    path = tmp_path / f"deep/down/model{suffix}"
    save(original, path)
    again = load(str(path))
    assert again.sha256() == original.sha256()
    assert again.history == original.history
    for a, b in zip(original.blocks, again.blocks, strict=True):
        assert (a.kind, a.meta()) == (b.kind, b.meta())
        assert all(torch.equal(a.arrays()[k], b.arrays()[k]) for k in a.array_names)
    origin, expected = equilibrium_of(again).origin, equilibrium_of(original).origin
    assert origin is not None
    assert expected is not None
    assert (origin.family, origin.scalars) == ("lben", {"lip": 1.5})
    assert torch.equal(origin.vectors["psi"], expected.vectors["psi"])
    assert names(path.parent) == [path.name]


@both
def test_a_network_without_arrays_survives(tmp_path, suffix):
    net = Network([Activation(Sigma.of(activation("relu"), 2))])
    save(net, tmp_path / f"m{suffix}")
    assert load(tmp_path / f"m{suffix}").sha256() == net.sha256()


@both
def test_extreme_doubles_survive(tmp_path, suffix):
    W = torch.tensor([[5e-324, -0.0, 1.7e308], [-1e-310, math.pi, 0.1]], dtype=torch.float64)
    net = Network([Affine(W, t(2))])
    save(net, tmp_path / f"m{suffix}")
    again = load(tmp_path / f"m{suffix}").blocks[0].arrays()["W"]
    assert again.numpy().tobytes() == W.numpy().tobytes()


@both
def test_a_loaded_network_does_not_depend_on_the_file_any_more(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    save(network(), path)
    again = load(path)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert again.sha256() == network().sha256()


def set_at(document, keys, value):
    for key in keys[:-1]:
        document = document[key]
    if value is DELETE:
        del document[keys[-1]]
    else:
        document[keys[-1]] = value


DELETE = object()
DOCUMENTS = {
    "another schema": (["schema"], "certlip/model/2", "schema 'certlip/model/2'"),
    "no schema": (["schema"], DELETE, "schema"),
    "schema of another type": (["schema"], ["certlip/model/1"], "schema"),
    "another hash": (["sha256"], "0" * 64, "hash to"),
    "no hash": (["sha256"], DELETE, "sha256"),
    "hash of another type": (["sha256"], 5, "hash to"),
    "no blocks": (["blocks"], [], "belongs to no block"),
    "missing blocks": (["blocks"], DELETE, "blocks"),
    "blocks are a number": (["blocks"], 7, "document"),
    "blocks are text": (["blocks"], "abc", "document"),
    "a block is null": (["blocks", 0], None, "document"),
    "a kind is unknown": (["blocks", 0, "kind"], "conv", "block 0 has the kind 'conv'"),
    "a kind is a list": (["blocks", 0, "kind"], [], "document"),
    "a kind is another one": (["blocks", 0, "kind"], "affine", "block 0: affine block with arrays"),
    "no meta": (["blocks", 0, "meta"], DELETE, "meta"),
    "meta is a number": (["blocks", 0, "meta"], 1, "document"),
    "meta has more": (["blocks", 0, "meta"], {"std": 1}, "metadata"),
    "sigma is missing": (["blocks", 1, "meta"], {}, "metadata"),
    "sigma is too narrow": (["blocks", 1, "meta", "sigma"], [["relu", 2, {}]], "2 coordinates"),
    "sigma is unknown": (["blocks", 1, "meta", "sigma", 0, 0], "gelu", "unknown activation"),
    "sigma is too steep": (["blocks", 1, "meta", "sigma", 1, 2], {"alpha": 1.5}, "alpha = 1.5"),
    "sigma is changed": (["blocks", 1, "meta", "sigma", 1, 2], {"alpha": 0.5}, "hash to"),
    "sigma is huge": (["blocks", 1, "meta", "sigma", 0, 1], 10**30, "coordinates"),
    "origin is null": (["blocks", 1, "origin"], None, "document"),
    "origin is missing": (["blocks", 1, "origin"], DELETE, "belongs to no block"),
    "origin scalars are text": (["blocks", 1, "origin", "scalars"], {"lip": "x"}, "document"),
    "origin of another kind": (["blocks", 0, "origin"], {"family": "lben"}, "has no origin"),
    "no history": (["history"], DELETE, "history"),
    "history is null": (["history"], None, "document"),
    "history is a number": (["history"], 3, "document"),
    "history is text": (["history"], "trained", r"history\[0\] is a str"),
    "history is an object": (["history"], {"step": 1}, r"history\[0\] is a str"),
    "history holds lists": (["history"], [[1]], r"history\[0\] is a list"),
}


@both
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_is_not_what_it_should_be_is_refused(tmp_path, suffix, name):
    keys, value, match = DOCUMENTS[name]
    document, tensors = parts()
    set_at(document, keys, value)
    assert_refused(write(tmp_path / f"m{suffix}", document, tensors), match)


TEXTS = {
    "no JSON": "certlip",
    "empty": "",
    "cut": '{"schema": "certlip/model/1", "blo',
    "deeply nested": "[" * 200_000,
    "deeply nested and closed": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "a long number": '{"schema": ' + "9" * 10_000 + "}",
    "text after it": "{} {}",
}


@both
@pytest.mark.parametrize("name", TEXTS)
def test_text_that_is_no_document_is_refused(tmp_path, suffix, name):
    _, tensors = parts()
    assert_refused(write(tmp_path / f"m{suffix}", TEXTS[name], tensors), "not a certlip/model/1")


def nudged(a):
    a = a.clone()
    a.view(-1)[0] = torch.nextafter(a.view(-1)[0], torch.tensor(9.0, dtype=a.dtype))
    return a


TENSORS = {
    "nudged": (nudged, "hash to"),
    "float32": (lambda a: a.float(), "torch.float32"),
    "float16": (lambda a: a.half(), "torch.float16"),
    "integers": (lambda a: a.long(), "torch.int64"),
    "NaN": (lambda a: a * torch.nan, "finite"),
    "infinite": (lambda a: a + torch.inf, "finite"),
    "wrong rows": (lambda a: a[:1].contiguous(), "shape"),
    "wrong axes": (lambda a: a[None], "shape"),
    "transposed": (lambda a: a.T.contiguous(), "shape"),
    "empty": (lambda a: a[:, :0], "nonempty axes"),
    "scalar": (lambda a: a.sum(), "shape"),
}


@both
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_are_not_what_they_should_be_are_refused(tmp_path, suffix, name):
    change, match = TENSORS[name]
    document, tensors = parts()
    tensors["block1.U"] = change(tensors["block1.U"])
    assert_refused(write(tmp_path / f"m{suffix}", document, tensors), match)


@both
def test_missing_and_superfluous_tensors_are_refused(tmp_path, suffix):
    document, tensors = parts()
    for name in tensors:
        if not name.startswith("block1.origin"):
            left = {k: v for k, v in tensors.items() if k != name}
            assert_refused(write(tmp_path / f"m{suffix}", document, left), "block with arrays")
    for name in ("block9.W", "W", "block1", "block10.W", "block0.origin.psi", "block1.X"):
        more = {**tensors, name: t(2)}
        assert_refused(write(tmp_path / f"m{suffix}", document, more), "belongs to|with arrays")


@both
@pytest.mark.parametrize(
    "change", [lambda v: v.float(), lambda v: v * torch.nan, lambda v: v[None]]
)
def test_origin_vectors_are_checked_too(tmp_path, suffix, change):
    document, tensors = parts()
    tensors["block1.origin.psi"] = change(tensors["block1.origin.psi"])
    assert_refused(write(tmp_path / f"m{suffix}", document, tensors), "psi")


TORCH_ONLY = {
    "huge by stride 0": (lambda: t(1).expand(1 << 40, 2), "repeats its storage|nonempty"),
    "small by stride 0": (lambda: t(1, 1).expand(3, 2), "repeats its storage"),
    "sparse": (lambda: t(3, 2).to_sparse(), "sparse_coo"),
    "complex": (lambda: t(3, 2).to(torch.complex128), "complex128"),
    "meta": (lambda: torch.empty(3, 2, dtype=torch.float64, device="meta"), "meta"),
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
    data, expected = path.read_bytes(), network().sha256()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        outcome = hash_or_refusal(path)
        assert outcome == expected or str(path) in outcome


def test_a_legacy_torch_file_with_a_flipped_byte_is_refused_or_the_same_function(tmp_path):
    document, tensors = parts()
    path = tmp_path / "m.pt"
    content = {"document": json.dumps(document), "tensors": tensors}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    data, expected = path.read_bytes(), network().sha256()
    assert load(path).sha256() == expected
    rng = np.random.default_rng(1)
    for position in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        outcome = hash_or_refusal(path)
        assert outcome == expected or str(path) in outcome


def test_paths_that_are_no_model_file_are_refused(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "m.txt").write_text("x")
    (tmp_path / "m").write_text("x")
    assert_refused(tmp_path / "absent.pt", "no such file")
    assert_refused(tmp_path / "folder.pt", "no such file")
    assert_refused(tmp_path / "m.txt" / "m.pt", "no such file")
    assert_refused(tmp_path / "m.txt", r"ends in .pt or .safetensors")
    assert_refused(tmp_path / "m", r"ends in .pt or .safetensors")
    assert_refused(tmp_path / ("n" * 5000 + ".pt"), "cannot be read")


@both
def test_the_other_format_under_this_name_is_refused(tmp_path, suffix):
    other = SUFFIXES[1 - SUFFIXES.index(suffix)]
    save(network(), tmp_path / f"m{other}")
    (tmp_path / f"m{other}").rename(tmp_path / f"m{suffix}")
    assert_refused(tmp_path / f"m{suffix}")


def refused_save(net, path, match):
    with pytest.raises(InputError, match=match) as caught:
        save(net, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@both
def test_a_place_that_cannot_be_written_is_refused(tmp_path, suffix):
    (tmp_path / "file").write_text("x")
    (tmp_path / f"folder{suffix}").mkdir()
    refused_save(network(), tmp_path / "file" / f"m{suffix}", "cannot be written")
    refused_save(network(), tmp_path / "file" / "deeper" / f"m{suffix}", "cannot be written")
    refused_save(network(), tmp_path / f"folder{suffix}", "cannot be written")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", f"folder{suffix}"]


@pytest.mark.parametrize("name", ["m", "m.onnx", "m.pt.bak", ".pt"])
def test_another_suffix_is_refused(tmp_path, name):
    refused_save(network(), tmp_path / name, "expected a name that ends in")
    assert not list(tmp_path.iterdir())


@both
@pytest.mark.parametrize("entry", [{"x": object()}, {"x": torch.ones(1)}, {("a", "b"): 1}])
def test_a_history_that_is_not_plain_is_refused(tmp_path, suffix, entry):
    refused_save(network().with_history(entry), tmp_path / f"m{suffix}", "history")
    assert not list(tmp_path.iterdir())


@both
def test_saving_again_replaces_the_file(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_text("old")
    save(network(), path)
    changed = network().with_history({"step": "again"})
    save(changed, path)
    assert load(path).history == changed.history
    assert names(tmp_path) == [path.name]


@both
@pytest.mark.parametrize(
    "error", [OSError("disk full"), RuntimeError("bad\nlines"), KeyboardInterrupt()]
)
def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing(
    tmp_path, suffix, monkeypatch, error
):
    path = tmp_path / f"m{suffix}"
    save(network(), path)
    before = path.read_bytes()

    def fail(*arguments, **_):
        target = next(a for a in arguments if hasattr(a, "write_bytes"))
        target.write_bytes(b"half")
        raise error

    monkeypatch.setattr(files.torch, "save", fail)
    monkeypatch.setattr(files, "save_file", fail)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else InputError
    with pytest.raises(expected):
        save(network().with_history({"step": "new"}), path)
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    save(network(), tmp_path / "m.pt")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "m.pt").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_origin_may_change_without_changing_the_hash(tmp_path):
    net = network()
    other = replace(equilibrium_of(net), origin=None)
    plain = Network([net.blocks[0], other, *net.blocks[2:]])
    save(plain, tmp_path / "m.pt")
    assert equilibrium_of(load(tmp_path / "m.pt")).origin is None
    assert load(tmp_path / "m.pt").sha256() == net.sha256()
