"""Model files: what is written is read back, and no other document is accepted."""

import math

import pytest
import torch
from model_files import (
    assert_refused,
    both,
    equilibrium_of,
    names,
    network,
    parts,
    t,
    write,
)

from certlip.blocks import (
    Activation,
    Affine,
    Network,
    Sigma,
    load,
    save,
)
from certlip.blocks.activations import activation


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
