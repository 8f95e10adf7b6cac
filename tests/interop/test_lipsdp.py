"""The example networks of LipSDP: chains of affine and activation blocks without biases."""

import numpy as np
import pytest
import scipy.io
import torch

from certlip.data import load as load_data
from certlip.errors import InputError
from certlip.interop import convert
from certlip.lmi import prove
from certlip.solvers import Evaluator


def written(tmp_path, *weights, name="weights"):
    cells = np.empty((1, len(weights)), dtype=object)
    for k, W in enumerate(weights):
        cells[0, k] = W
    path = tmp_path / "net.mat"
    scipy.io.savemat(path, {name: cells})
    return path


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_the_published_classifier(shared_data):
    network = convert(shared_data / "models" / "lipsdp_mnist_weights.mat", "lipsdp", {})
    assert [block.kind for block in network.blocks] == ["affine", "activation", "affine"]
    data = load_data("mnist", data_dir=shared_data)
    y = Evaluator(network)(torch.from_numpy(data.x))
    assert (y.argmax(1).numpy() == data.label).mean() == 0.9678
    assert prove(network).lip.value == pytest.approx(31.5035, rel=1e-5)


def test_the_published_random_network(shared_data):
    """All weights are nonnegative: its constant is the norm of their product, 36.4822."""
    network = convert(shared_data / "models" / "lipsdp_random_weights.mat", "lipsdp", {})
    assert [b.out_width for b in network.blocks if b.kind == "affine"] == [10, 30, 20, 2]
    lip = prove(network).lip.value
    assert lip == pytest.approx(43.3056, rel=1e-5)
    assert lip >= 36.4822


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("values", [{}, {"mean": 0.5}, {"std": 0.25}, {"mean": 0.5, "std": 0.25}])
def test_the_same_function_as_the_formula(tmp_path, count, values):
    weights = [normal(5, 3), normal(4, 5), normal(3, 4), normal(2, 3)][:count]
    network = convert(written(tmp_path, *weights), "lipsdp", values)
    x = np.random.default_rng(1).normal(size=(6, 3))
    y = (x - values.get("mean", 0.0)) / values.get("std", 1.0)
    for k, W in enumerate(weights):
        y = (np.maximum(y, 0) if k else y) @ W.T
    np.testing.assert_allclose(Evaluator(network)(torch.from_numpy(x)), y, atol=1e-12)
    assert len(network.blocks) == 2 * count - 1 + bool(values)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([normal(3, 2), normal(2, 4)], r"weights\{2\} has shape \(2, 4\): expected 3 columns"),
        ([normal(3, 2), "text"], r"no real matrix 'weights\{2\}'"),
        ([normal(3, 2) * 1j], "no real matrix"),
        ([np.full((2, 2), np.nan)], "not finite"),
        ([normal(2, 2), np.zeros((0, 2))], "shape"),
    ],
)
def test_malformed_weights_are_named(tmp_path, weights, message):
    path = written(tmp_path, *weights)
    with pytest.raises(InputError, match=message) as caught:
        convert(path, "lipsdp", {})
    assert str(path) in str(caught.value)


def test_other_variables_are_refused(tmp_path):
    with pytest.raises(InputError, match="no cell array 'weights'"):
        convert(written(tmp_path, normal(2, 2), name="W"), "lipsdp", {})
    path = tmp_path / "matrix.mat"
    scipy.io.savemat(path, {"weights": normal(2, 2)})
    with pytest.raises(InputError, match="no cell array 'weights'"):
        convert(path, "lipsdp", {})


@pytest.mark.parametrize(
    ("values", "message"),
    [({"m": 1.0}, "lipsdp takes mean and std"), ({"std": 0.0}, "std")],
)
def test_bad_scalars_are_refused(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        convert(written(tmp_path, normal(2, 2)), "lipsdp", values)


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", b"\x00" * 500])
def test_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / "bad.mat"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.mat"):
        convert(path, "lipsdp", {})
