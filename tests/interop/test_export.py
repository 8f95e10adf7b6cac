"""Exported files compute what the network does, in runtimes that know nothing of certlip."""

import ast
import hashlib
import inspect
import json
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
import torch
from conv_nets import conv_lben, normal
from hypothesis import given, settings
from hypothesis import strategies as st

import certlip
from certlip.blocks import (
    Activation,
    Affine,
    Convolution,
    ConvResidual,
    GroupSort,
    Network,
    Normalize,
    Pooling,
    Residual,
    Resize,
    Sigma,
    Window,
)
from certlip.blocks.activations import ELU, Identity, LeakyReLU, ReLU, Tanh
from certlip.blocks.kinds import KINDS
from certlip.data import Dataset
from certlip.data import load as load_data
from certlip.errors import InputError, RejectedError, UnsupportedError
from certlip.interop.export import EXPORTERS, plain
from certlip.interop.export.base import IMPLICIT
from certlip.report import load_schema
from certlip.solvers import Evaluator

ACTIVATIONS = (ReLU(), LeakyReLU(0.3), Tanh(), ELU(0.5), Identity())
SUFFIX = {"torch": ".py", "onnx": ".onnx"}


def explicit_net(seed):
    """Every explicit kind of block, both paddings, taps of all parities, mixed activations."""
    rng = np.random.default_rng(seed)

    def pick(*values):
        return values[rng.integers(len(values))]

    def sigma(channels, pixels):
        kinds = [ACTIVATIONS[k] for k in rng.integers(len(ACTIVATIONS), size=channels)]
        return Sigma(tuple((kind, pixels) for kind in kinds))

    c, height, width = 2, *(int(n) for n in rng.integers(4, 7, 2))
    blocks = [
        Normalize(
            normal(rng, c * height * width),
            torch.from_numpy(rng.uniform(0.5, 2, c * height * width)),
        )
    ]
    for padding in (pick("zero", "circular"), pick("zero", "circular")):
        size, pixels = (height, width), height * width
        taps = tuple(int(n) for n in rng.integers(1, 5, 2))
        blocks.append(Convolution(normal(rng, 4, c, *taps), normal(rng, 4), *size, padding))
        c = 4
        blocks.append(Activation(sigma(c, pixels)))
        taps = tuple(int(n) for n in rng.integers(1, 5, 2))
        D = torch.from_numpy(rng.uniform(0, 0.1, 3))
        K = normal(rng, 3, c, *taps)
        blocks.append(ConvResidual(K, D, normal(rng, 3), sigma(3, pixels), *size, padding))
        blocks.append(GroupSort(c * pixels, pick(2, 4), pixels))
        blocks.append(Activation(Sigma.of(pick(*ACTIVATIONS), c * pixels)))
    top, left = int(rng.integers(-1, 2)), int(rng.integers(-1, 2))
    rows, columns, steps = pick(1, 2), pick(1, 2), (2, pick(1, 2))
    blocks.append(Window(c, height, width, top, left, rows * 2, columns * 2, *steps))
    c *= steps[0] * steps[1]
    blocks.append(Pooling(c, rows * 2, columns * 2, 2))
    d = c * rows * columns
    blocks.append(Resize(d, q := pick(d + 3, d - 1)))
    W, b = 0.2 * normal(rng, q, 5), normal(rng, 5)
    blocks.append(Residual(W, torch.from_numpy(rng.uniform(0, 0.5, 5)), b, sigma(5, 1)))
    blocks += [GroupSort(q, q, 1), Affine(0.3 * normal(rng, 3, q), normal(rng, 3))]
    return Network(blocks)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("to", SUFFIX)
def test_any_explicit_network(tmp_path_factory, to, seed):
    network = explicit_net(seed)
    assert {type(block) for block in network.blocks} == set(KINDS.values()) - set(IMPLICIT)
    out = tmp_path_factory.mktemp("export") / f"net{SUFFIX[to]}"
    result = certlip.export(network, out, to=to, dtype="float64")
    x = np.random.default_rng(seed).standard_normal((7, network.in_width))
    expected = Evaluator(network)(torch.from_numpy(x)).numpy()
    found, _ = EXPORTERS[to].run(out, x, "float64")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * (1 + np.abs(expected).max()))
    assert result.largest_difference <= 1e-10 * (1 + np.abs(expected).max())


@pytest.mark.parametrize("to", SUFFIX)
def test_float32_is_what_is_asked_for(tmp_path, to):
    network = explicit_net(1)
    document = certlip.export(network, tmp_path / f"a{SUFFIX[to]}", to=to, dtype="float32").document
    assert document["export"]["rounded"]
    assert 0 < document["compared"]["largest_difference"] < 1e-4
    if to == "onnx":
        assert document["compared"]["runtime"].startswith("onnxruntime ")
    rounded = Network([Affine(torch.ones(2, 3).double() / 2, torch.zeros(2).double())])
    again = certlip.export(rounded, tmp_path / f"b{SUFFIX[to]}", to=to, dtype="float32")
    assert not again.document["export"]["rounded"]


@pytest.mark.parametrize("to", SUFFIX)
def test_the_record_says_what_was_compared(tmp_path, to):
    digits = load_data("digits", split="test").first(20)
    network = Network([Affine(torch.rand(10, 64).double(), torch.rand(10).double())])
    out = tmp_path / f"net{SUFFIX[to]}"
    result = certlip.export(network, out, to=to, data=digits)
    record = json.loads((tmp_path / f"{out.name}.json").read_text())
    assert record == result.document
    jsonschema.validate(record, load_schema("export-1"))
    assert record["model"]["sha256"] == network.sha256()
    assert record["compared"]["data"]["sha256"] == digits.sha256()
    assert record["compared"]["samples"] == 20
    for entry, path in zip(record["export"]["files"], result.files, strict=True):
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    certlip.export(network, out, to=to, data=digits)  # the same network, the same bytes
    assert written == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_the_source_needs_torch_alone_and_trains(tmp_path):
    out = tmp_path / "mine.py"
    network = explicit_net(3)
    certlip.export(network, out)
    code = (
        "import sys; sys.modules['certlip'] = sys.modules['numpy'] = None\n"
        "import torch, mine\n"
        "net = mine.load()\n"
        f"x = torch.rand(2, {network.in_width}, dtype=torch.float64)\n"
        "assert torch.equal(net(x), net(x.unflatten(1, (2, -1))))\n"
        "net(x).sum().backward()\n"
        "assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_layers_that_go_into_files_use_torch_alone():
    nodes = ast.walk(ast.parse(inspect.getsource(plain)))
    used = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert used == {"__future__", "torch"}


@pytest.mark.parametrize("to", SUFFIX)
def test_only_an_export_is_replaced(tmp_path, to):
    own, path = explicit_net(1), tmp_path / f"net{SUFFIX[to]}"
    for network in (own, explicit_net(2)):  # one of another model is an export, too
        files = certlip.export(network, path, to=to).files
    for file in files:
        file.write_bytes(content := file.read_bytes() + b"\n")
        with pytest.raises(InputError, match=rf"net{SUFFIX[to]}: .*{file.name} exists"):
            certlip.export(own, path, to=to)
        assert file.read_bytes() == content
        file.unlink()
    certlip.export(own, path, to=to)
    path.with_name(f"{path.name}.json").unlink()  # then nothing says whose the files are
    with pytest.raises(InputError, match="is no export"):
        certlip.export(own, path, to=to)


@pytest.mark.parametrize("to", SUFFIX)
def test_equilibria_are_refused(tmp_path, to):
    network = Network([conv_lben()])
    with pytest.raises(UnsupportedError, match=r"^block0 \(conv-equilibrium\): .*fixed point"):
        certlip.export(network, tmp_path / f"net{SUFFIX[to]}", to=to)
    assert not [*tmp_path.iterdir()]


def test_all_rows_are_compared(tmp_path, monkeypatch):
    network = Network([Affine(torch.eye(2).double(), torch.zeros(2).double())])
    x = np.tile([0.0, 5e-10], (600, 1))  # turned round they differ by less than the tolerance
    x[-1, 1] = 1e-3
    data = Dataset("rows", "test", x, np.zeros(600, np.int64), 2, (2,))
    honest = EXPORTERS["torch"].run

    def run(path, x, dtype):
        y, name = honest(path, x, dtype)
        return np.where(y.max(1, keepdims=True) < above, y[:, ::-1], y), name

    monkeypatch.setattr(type(EXPORTERS["torch"]), "run", staticmethod(run))
    above = 1e-4
    result = certlip.export(network, tmp_path / "net.py", data=data)
    assert result.document["compared"]["classes_changed"] == 599
    above = 1.0
    with pytest.raises(RejectedError, match=r"differs from the network by 0\.001"):
        certlip.export(network, tmp_path / "net.py", data=data)


@pytest.mark.parametrize("to", SUFFIX)
@pytest.mark.parametrize("what", ["wrong sign", "nan", "shape"])
def test_a_runtime_that_disagrees_leaves_no_file(tmp_path, monkeypatch, to, what):
    network = Network([Affine(torch.rand(3, 4).double(), torch.rand(3).double())])
    honest = EXPORTERS[to].run

    def run(path, x, dtype):
        y, name = honest(path, x, dtype)
        return {"wrong sign": -y, "nan": y * np.nan, "shape": y[:, :2]}[what], name

    monkeypatch.setattr(type(EXPORTERS[to]), "run", staticmethod(run))
    with pytest.raises(RejectedError, match=r"differs from the network|of shape"):
        certlip.export(network, tmp_path / f"net{SUFFIX[to]}", to=to)
    assert not [*tmp_path.iterdir()]


def test_bad_arguments(tmp_path):
    network = Network([Affine(torch.rand(3, 4).double(), torch.rand(3).double())])
    for options, match in (
        ({"to": "onxx"}, "did you mean 'onnx'"),
        ({"to": "pickle"}, "expected torch or onnx"),
        ({"dtype": "float16"}, "expected float64 or float32"),
        ({"to": "onnx"}, r"expected a name that ends in \.onnx"),
        ({"data": load_data("digits", split="test")}, "expected 4, which"),
    ):
        with pytest.raises(InputError, match=match):
            certlip.export(network, tmp_path / "net.py", **options)
    assert not [*tmp_path.iterdir()]


def test_command_line(certlip, tmp_path, story):
    sll, out = story / "sll" / "model.pt", tmp_path / "net.onnx"
    line = ("convert", sll, "--to", "onnx", "--out", out, "--dataset", "digits", "--limit", 9)
    result = certlip(*line, "--json")
    assert result.code == 0, result.err
    jsonschema.validate(result.document, load_schema("export-1"))
    assert result.document["compared"]["samples"] == 9
    assert "logits differ by at most" in result.err
    # there and back
    assert certlip("convert", out, "--from", "onnx", "--out", tmp_path / "m.pt").code == 3
    for line, code, match in (
        ((story / "lben" / "model.pt", "--to", "torch", "--out", tmp_path / "n.py"), 3, "fixed"),
        ((sll, "--out", tmp_path / "n.py"), 2, "--from is missing"),
        ((sll, "--to", "torch", "--set", "m=1", "--out", tmp_path / "n.py"), 2, "--from is"),
        ((sll, "--from", "onnx", "--dtype", "float32", "--out", "n.pt"), 2, "is for --to"),
        ((sll, "--to", "torch", "--out", tmp_path), 2, "is a folder"),
        ((tmp_path / "none.pt", "--to", "torch", "--out", tmp_path / "n.py"), 2, "none.pt"),
    ):
        result = certlip("convert", *line)
        assert (result.code, match in result.err) == (code, True), result.err
        assert len(result.err.strip().splitlines()) == 1


def test_feed_forward_files_are_read_back(certlip, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef net():\n"
        "    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))\n"
    )
    line = ("convert", "mine:net", "--from", "torch", "--to", "onnx", "--out", "net.onnx")
    command = [sys.executable, "-m", "certlip_cli", *line]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    line = ("convert", tmp_path / "net.onnx", "--from", "onnx", "--out", tmp_path / "back.pt")
    again = certlip(*line, "--json").document
    record = json.loads((tmp_path / "net.onnx.json").read_text())
    assert record["model"]["path"] == "mine:net"
    assert not record["export"]["rounded"]
    assert again["model"]["sha256"] == record["model"]["sha256"]
