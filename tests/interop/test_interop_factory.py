"""MODEL on the command line: an ONNX file or `package.module:factory`, from proof to certificate."""

import json
import sys

import numpy as np
import pytest
import torch
from onnx_files import node, write

from certlip.blocks import load
from certlip.errors import InputError
from certlip.interop import READERS, from_factory, is_factory

FACTORIES = """
import torch
from torch import nn
from certlip.blocks import Network
from certlip.interop import from_torch

torch.manual_seed(3)
IMAGES = nn.Sequential(
    nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10)
)
number = 7

def pair():
    return IMAGES, (1, 8, 8)

class Made(nn.Sequential):
    input_shape = (1, 8, 8)

def attribute():
    return Made(*IMAGES)

def network():
    return from_torch(*pair())

def shapeless():
    return IMAGES

DENSE = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def dense():
    return DENSE

def pooled():
    return nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)), (1, 8, 8)

def nothing():
    return None

def takes(x):
    return x

def fails():
    raise RuntimeError("first line\\nsecond line")

def leaves():
    raise SystemExit(0)
"""
DIGITS = ("--dataset", "digits", "--limit", 30)


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """A module of factories in the current folder."""
    (tmp_path / "made_here.py").write_text(FACTORIES)
    (tmp_path / "broken_here.py").write_text("import nothing_of_this_name")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("made_here", "broken_here"):
        sys.modules.pop(name, None)


@pytest.fixture
def digits_onnx(tmp_path):
    """An untrained convolutional network for the digits."""
    rng = np.random.default_rng(0)
    nodes = [
        node("Sub", ["x", "mean"], "a"),
        node("Conv", ["a", "K", "b"], "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "d"),
        node("Flatten", ["d"], "e"),
        node("Gemm", ["e", "W"], "f", transB=1),
    ]
    constants = {
        "mean": np.array(0.3), "K": rng.normal(size=(4, 1, 3, 3)),
        "b": rng.normal(size=4), "W": rng.normal(size=(10, 64)),
    }  # fmt: skip
    return write(tmp_path / "digits.onnx", nodes, constants, (1, 8, 8))


@pytest.mark.parametrize("name", ["pair", "attribute", "network"])
def test_a_factory_gives_a_network(factories, name):
    network = from_factory(f"made_here:{name}")
    assert [b.kind for b in network.blocks] == [
        *("window", "convolution", "window", "activation", "affine")
    ]
    assert str(factories) not in sys.path


@pytest.mark.parametrize("model", ["made_here:pair", "digits.onnx"])
def test_every_command_takes_it(factories, digits_onnx, certlip, tmp_path, model):
    shown = certlip("inspect", model, "--json")
    assert shown.code == 0, shown.err
    assert shown.document["model"]["path"] == model
    proof = certlip("check-lmi", model, "--json")
    assert proof.code == 0, proof.err
    assert proof.document["model"]["sha256"] == shown.document["model"]["sha256"]
    result = certlip("certify", model, *DIGITS, "--falsify", 2, "--steps", 2, "--json")
    assert result.code == 0, result.err
    assert result.document["model"]["sha256"] == shown.document["model"]["sha256"]
    assert result.document["falsifier"]["broken"] == 0
    form = "onnx" if model.endswith("onnx") else "torch"
    out = tmp_path / "model.pt"
    done = certlip("convert", model, "--from", form, "--out", out, "--json")
    assert done.code == 0, done.err
    assert load(out).sha256() == shown.document["model"]["sha256"]


def test_a_dense_network_has_a_certificate_that_the_checker_accepts(factories, certlip, tmp_path):
    proof = tmp_path / "proof.certlip"
    line = ("certify", "made_here:dense", *DIGITS, "--certificate", proof, "--json")
    assert certlip(*line).code == 0
    assert certlip("verify", proof, "--model", "made_here:dense", "--json").code == 0


def test_normalisation_is_given_on_the_command_line(factories, digits_onnx, certlip, tmp_path):
    for source, form in (("made_here:pair", "torch"), ("digits.onnx", "onnx")):
        out = tmp_path / f"{form}.safetensors"
        line = ("convert", source, "--from", form, "--set", "mean=0.5", "--set", "std=0.25")
        assert certlip(*line, "--out", out).code == 0
        block = load(out).blocks[0]
        assert block.kind == "normalize"
        assert torch.equal(block.arrays()["std"], torch.full((64,), 0.25, dtype=torch.float64))
        refused = certlip("convert", source, "--from", form, "--set", "m=1", "--out", out)
        assert refused.code == 2
        assert f"--set m: {form} takes mean and std" in refused.err


ERRORS = {
    "made_here:shapeless": (2, "give it as input_shape"),
    "made_here:pooled": (3, "made_here:pooled: 1 (MaxPool2d): no rule"),
    "made_here:nothing": (2, "returned a NoneType: expected a torch module"),
    "made_here:takes": (2, "TypeError"),
    "made_here:fails": (2, "RuntimeError: first line"),
    "made_here:leaves": (2, "SystemExit"),
    "made_here:number": (2, "a int: expected a callable"),
    "made_here:missing": (2, "AttributeError"),
    "broken_here:pair": (2, "nothing_of_this_name"),
    "not_here_at_all:pair": (2, "ModuleNotFoundError"),
    "made_here:print(1)": (2, "expected a model file"),
    "__import__('os'):system": (2, "expected a model file|no such file"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_gives_no_model_is_refused_in_one_line(factories, certlip, name):
    code, message = ERRORS[name]
    result = certlip("inspect", name)
    assert result.code == code, result.err
    [line] = result.err.strip().splitlines()
    assert any(part in line for part in message.split("|")) or "no such file" in line


@pytest.mark.parametrize(
    "name", ["a", "a:", ":b", "a:b()", "a b:c", "1a:b", "a:b;c", "a..b:c", "a:b:c", "../a:b", "a.py:b "]
)  # fmt: skip
def test_only_names_and_dots_are_a_factory(name):
    assert not is_factory(name)
    with pytest.raises(InputError, match=r"expected package\.module:factory"):
        from_factory(name)


def test_the_help_names_every_format(certlip):
    words = certlip("convert", "--help").out.replace(",", " ").replace(".", " ").split()
    assert set(READERS) <= set(words)
    assert "onnx" in json.dumps(sorted(READERS))
