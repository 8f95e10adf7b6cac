"""The published monotone DEQ: same function as its formula, well-posed, L proven, all images certified."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from certlip.blocks import load
from certlip.data import load as load_data
from certlip.errors import InputError
from certlip.interop import READERS, convert


@pytest.fixture(scope="module")
def source(shared_data):
    return shared_data / "models" / "semimondeq_mnist.mat"


def test_same_logits_as_the_formula(source, shared_data):
    import torch

    from certlip.solvers import Evaluator

    network = convert(source, "semimondeq", {"m": 20})
    x = load_data("mnist", data_dir=shared_data, limit=100).x
    p = scipy.io.loadmat(source)
    W = (1 - 20) * np.eye(87) - p["A"].T @ p["A"] + p["B"] - p["B"].T
    c = p["U"] @ ((x.T - 0.1307) / 0.3081) + p["u"]
    z = np.zeros((87, 100))
    for _ in range(3000):  # damped, as independent of the solvers as can be
        z = 0.98 * z + 0.02 * np.maximum(W @ z + c, 0)
    expected = (p["C"] @ z + p["c"]).T
    assert np.abs(Evaluator(network)(torch.from_numpy(x)).numpy() - expected).max() < 1e-8


def test_well_posed_and_lipschitz_as_computed_by_hand(source, certlip, tmp_path):
    path = tmp_path / "model.pt"
    assert (
        certlip("convert", source, "--from", "semimondeq", "--set", "m=20", "--out", path).code == 0
    )
    result = certlip("check-lmi", path, "--condition", "3,4,10", "--json")
    assert result.code == 0
    rows = {row["condition"]: row for row in result.document["blocks"]}
    # ‖U‖‖C‖/m for the normalised input, over 0.3081 in raw pixels
    assert float(rows["10"]["lipschitz_upper"]) == pytest.approx(4.807625072, rel=1e-9)
    assert float(rows["4"]["lipschitz_upper"]) >= 4.8076250
    assert float(rows["3"]["mu_lower"]) == pytest.approx(20, rel=2e-3)
    assert float(result.document["lipschitz_upper"]) == pytest.approx(15.6041060, rel=1e-8)


def test_all_test_images_certified(source, shared_data, certlip, tmp_path):
    path, proof = tmp_path / "model.pt", tmp_path / "proof.certlip"
    certlip("convert", source, "--from", "semimondeq", "--set", "m=20", "--out", path)
    result = certlip(
        *("certify", path, "--dataset", "mnist", "--data-dir", shared_data, "--eps", "0.1"),
        *("--certificate", proof, "--json"),
    )
    assert result.code == 0
    assert result.document["natural_accuracy"] == 0.9684
    assert result.document["certified_accuracy"]["0.1"] >= 0.90
    assert result.document["data"]["n"] == 10000
    assert result.document["falsifier"]["broken"] == 0
    checked = certlip("verify", proof, "--dataset", "mnist", "--data-dir", shared_data, "--json")
    assert checked.code == 0
    assert checked.document["certified_accuracy"] == result.document["certified_accuracy"]


def variables(**changes):
    rng = np.random.default_rng(0)
    shapes = {"A": (3, 3), "B": (3, 3), "U": (3, 4), "u": (3, 1), "C": (2, 3), "c": (2, 1)}
    values = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return {k: v for k, v in {**values, **changes}.items() if v is not None}


def test_small_files_are_read_without_the_shared_data(tmp_path):
    path = tmp_path / "small.mat"
    values = variables()
    scipy.io.savemat(path, values)
    network = convert(path, "semimondeq", {"m": 2, "mean": 0, "std": 0.5})
    W = -np.eye(3) - values["A"].T @ values["A"] + values["B"] - values["B"].T
    np.testing.assert_allclose(network.blocks[1].arrays()["W"].numpy(), W, atol=1e-14)
    assert float(network.blocks[0].arrays()["std"][0]) == 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_whole_numbers_that_matlab_packed_are_read(tmp_path, dtype):
    path = tmp_path / "whole.mat"
    scipy.io.savemat(path, variables(c=np.array([[1], [2]], dtype=dtype)))
    network = convert(path, "semimondeq", {"m": 2})
    assert network.blocks[1].arrays()["b_y"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": None}, "no real matrix 'A'"),
        ({"A": np.ones((3, 2))}, "A has shape"),
        ({"B": np.ones((2, 2))}, "B has shape"),
        ({"u": np.ones((2, 1))}, "u has shape"),
        ({"U": np.ones((4, 4))}, "U has shape"),
        ({"C": np.ones((2, 4))}, "G has shape"),
        ({"c": np.ones((3, 1))}, "c has shape"),
        ({"C": np.full((2, 3), np.nan)}, "expected finite"),
        ({"A": np.ones((3, 3), dtype=complex)}, "no real matrix 'A'"),
        ({"A": "text"}, "no real matrix 'A'"),
    ],
)
def test_malformed_variables_are_named(tmp_path, changes, message):
    path = tmp_path / "bad.mat"
    scipy.io.savemat(path, variables(**changes))
    with pytest.raises(InputError, match=message) as caught:
        convert(path, "semimondeq", {"m": 2})
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "does not store m"),
        ({"m": 0.0}, "expected a positive"),
        ({"m": -1.0}, "expected a positive"),
        ({"m": float("nan")}, "expected a positive"),
        ({"m": 2.0, "gamma": 1.0}, "takes m, mean and std"),
        ({"m": 2.0, "std": 0.0}, "std"),
    ],
)
def test_bad_scalars_are_refused(tmp_path, values, message):
    path = tmp_path / "small.mat"
    scipy.io.savemat(path, variables())
    with pytest.raises(InputError, match=message):
        convert(path, "semimondeq", values)


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", b"\x00" * 500])
def test_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / "bad.mat"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.mat"):
        convert(path, "semimondeq", {"m": 2})


@pytest.mark.parametrize("name", READERS)
def test_every_reader_names_a_missing_file(tmp_path, name):
    with pytest.raises(InputError, match="no such file"):
        convert(tmp_path / "missing.mat", name, {"m": 2})


def test_unknown_format_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'semimondeq'"):
        convert(tmp_path / "x", "semi-mondeq", {})


def test_converted_file_round_trips(tmp_path, certlip):
    source, out = tmp_path / "small.mat", tmp_path / "model.safetensors"
    scipy.io.savemat(source, variables())
    certlip("convert", source, "--from", "semimondeq", "--set", "m=2", "--out", out)
    assert load(out).sha256() == convert(source, "semimondeq", {"m": 2}).sha256()
