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
from certlip.blocks.kinds import KINDS


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
    for k, lip in ((1, 1.5), (7, 2.5)):
        origin, expected = equilibrium_of(again, k).origin, equilibrium_of(original, k).origin
        assert origin is not None
        assert expected is not None
        assert (origin.family, origin.scalars) == ("lben", {"lip": lip})
        assert torch.equal(origin.vectors["psi"], expected.vectors["psi"])
    assert names(path.parent) == [path.name]


def test_the_network_of_the_files_has_every_kind():
    assert {block.kind for block in network().blocks} == set(KINDS)


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
    "height is missing": (["blocks", 5, "meta", "height"], DELETE, "metadata"),
    "height is text": (["blocks", 5, "meta", "height"], "2", "height = '2': expected a whole"),
    "height is true": (["blocks", 5, "meta", "height"], True, "height = True: expected a whole"),
    "height is 0": (["blocks", 6, "meta", "height"], 0, "height = 0: expected a whole number"),
    "height is broken": (["blocks", 7, "meta", "height"], 2.0, "height = 2.0: expected a whole"),
    "height is null": (["blocks", 9, "meta", "height"], None, "height = None: expected a whole"),
    "height is too small": (["blocks", 5, "meta", "height"], 1, "larger than the image"),
    "height is another": (["blocks", 7, "meta", "height"], 3, "block 7: .*whole channels of 6"),
    "height is huge": (["blocks", 5, "meta", "height"], 10**30, r"block 5 .*at most 67,108,864"),
    "resize is huge": (["blocks", 10, "meta", "q"], 10**12, r"block 10 .*at most 67,108,864 num"),
    "window on a huge image": (["blocks", 9, "meta", "width"], 2 * 10**9, r"block 9 .*at most 67"),
    "padding is unknown": (["blocks", 5, "meta", "padding"], "reflect", "padding 'reflect'"),
    "padding is a list": (["blocks", 5, "meta", "padding"], ["zero"], "padding .'zero'.: expected"),
    "padding is changed": (["blocks", 5, "meta", "padding"], "circular", "hash to"),
    "σ ends in a channel": (
        ["blocks", 6, "meta", "sigma"],
        [["tanh", 6, {}], ["relu", 6, {}]],
        "block 6: conv-residual block: tanh×6, relu×6: expected whole channels of 4 pixels",
    ),
    "σ has a channel less": (["blocks", 6, "meta", "sigma", 0, 1], 8, "8 coordinates: expected 12"),
    "origin of a convolution": (["blocks", 5, "origin"], {"family": "lben"}, "has no origin"),
    "groups do not divide": (["blocks", 8, "meta", "stride"], 3, "groups of 2 with stride 3"),
    "groups are changed": (["blocks", 8, "meta", "group"], 1, "hash to"),
    "window does not divide": (["blocks", 9, "meta", "window"], 3, "windows of 3 do not divide"),
    "window is larger": (["blocks", 9, "meta", "window"], 4, "windows of 4 do not divide"),
    "window is negative": (["blocks", 9, "meta", "window"], -2, "window = -2: expected a whole"),
    "resize to nothing": (["blocks", 10, "meta", "q"], 0, "q = 0: expected a whole number"),
    "part is taller": (["blocks", 11, "meta", "rows"], 3, "gives 9 numbers, block 12"),
    "part starts elsewhere": (["blocks", 11, "meta", "top"], 0, "hash to"),
    "part is nowhere": (["blocks", 11, "meta", "top"], 1, "top = 1: expected .* from -1 to 0"),
    "part starts at null": (["blocks", 11, "meta", "left"], None, "left = None: expected"),
    "part is huge": (["blocks", 11, "meta", "rows"], 10**12, r"block 11 .*at most 67,108,864 num"),
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
    "transposed": (lambda a: a.transpose(0, 1).contiguous(), "shape"),
    "empty": (lambda a: a[:, :0], "nonempty axes"),
    "scalar": (lambda a: a.sum(), "shape"),
}


@both
@pytest.mark.parametrize("target", ["block1.U", "block7.U"])
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_are_not_what_they_should_be_are_refused(tmp_path, suffix, name, target):
    change, match = TENSORS[name]
    document, tensors = parts()
    tensors[target] = change(tensors[target])
    assert_refused(write(tmp_path / f"m{suffix}", document, tensors), match)


@both
def test_missing_and_superfluous_tensors_are_refused(tmp_path, suffix):
    document, tensors = parts()
    for name in tensors:
        if ".origin." not in name:
            left = {k: v for k, v in tensors.items() if k != name}
            assert_refused(write(tmp_path / f"m{suffix}", document, left), "block with arrays")
    for name in ("block8.W", "W", "block1", "block11.W", "block0.origin.psi", "block7.X"):
        more = {**tensors, name: t(2)}
        assert_refused(write(tmp_path / f"m{suffix}", document, more), "belongs to|with arrays")


@both
@pytest.mark.parametrize("block", ["block1", "block7"])
@pytest.mark.parametrize(
    "change", [lambda v: v.float(), lambda v: v * torch.nan, lambda v: v[None]]
)
def test_origin_vectors_are_checked_too(tmp_path, suffix, change, block):
    document, tensors = parts()
    tensors[f"{block}.origin.psi"] = change(tensors[f"{block}.origin.psi"])
    assert_refused(write(tmp_path / f"m{suffix}", document, tensors), "psi")
