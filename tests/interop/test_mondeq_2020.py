"""The published monotone DEQ with 80 units: same function as its formula, its bound proven."""

import numpy as np
import pytest
import torch
from checkpoints import HOSTILE, check_hostile, normal, state_dict, written

from certlip.data import load as load_data
from certlip.errors import InputError
from certlip.interop import convert
from certlip.lmi import prove
from certlip.solvers import Evaluator

SHAPES = {
    "U.weight": (3, 4),
    "U.bias": (3,),
    "A.weight": (3, 3),
    "B.weight": (3, 3),
    "Wout.weight": (2, 3),
    "Wout.bias": (2,),
}


def test_the_published_model(shared_data):
    """Accuracy as its authors recorded it, 2.04 % errors; L ≤ ‖U‖‖Wout‖/m."""
    path = shared_data / "models" / "lben" / "mon_w80.params"
    network = convert(path, "mondeq-2020", {"m": 1.0})
    data = load_data("mnist", data_dir=shared_data)
    y = Evaluator(network)(torch.from_numpy(data.x))
    assert (y.argmax(1).numpy() == data.label).mean() == 0.9796
    p = torch.load(path, map_location="cpu", weights_only=True)
    U, G = p["mon.linear_module.U.weight"].double(), p["Wout.weight"].double()
    claimed = float(torch.linalg.matrix_norm(U, 2) * torch.linalg.matrix_norm(G, 2))
    lip = prove(network).blocks[1].lip.value
    assert lip == pytest.approx(claimed, rel=1e-6)
    assert lip >= 7.752  # a slope that the authors found


def test_the_same_function_as_the_formula(tmp_path):
    entries = state_dict(SHAPES)
    network = convert(written(tmp_path, entries), "mondeq-2020", {"m": 2.0, "mean": 0, "std": 0.5})
    U, b_z, A, B, G, b_y = (entry.double().numpy() for entry in entries.values())
    x = np.random.default_rng(1).normal(size=(5, 4))
    z = np.zeros((5, 3))
    for _ in range(5000):
        v = z - 2 * z - z @ A.T @ A + z @ B.T - z @ B + 2 * x @ U.T + b_z
        z = z + 0.02 * (np.maximum(v, 0) - z)
    y = Evaluator(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(y, z @ G.T + b_y, atol=1e-9)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "mon.linear_module.", "module.mon.linear_module."]
)
def test_prefixes_do_not_matter(tmp_path, prefix):
    network = convert(written(tmp_path, state_dict(SHAPES, prefix)), "mondeq-2020", {"m": 2})
    plain = convert(written(tmp_path, state_dict(SHAPES)), "mondeq-2020", {"m": 2})
    assert network.sha256() == plain.sha256()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"U.bias": None}, "no entry 'U.bias'"),
        ({"Wout.weight": None}, "no entry 'Wout.weight'"),
        ({"extra": normal(1)}, "unexpected entry 'extra'"),
        ({"A.weight": normal(3, 2)}, r"A.weight has shape \(3, 2\): expected \(3, 3\)"),
        ({"B.weight": normal(3)}, r"B.weight has shape \(3,\)"),
        ({"U.weight": normal(2, 4)}, "U.weight has shape"),
        ({"Wout.weight": normal(2, 4)}, "Wout.weight has shape"),
        ({"Wout.bias": normal(3)}, "Wout.bias has shape"),
        ({"A.weight": torch.full((3, 3), torch.nan)}, "A.weight has an entry that is not finite"),
        ({"A.weight": torch.zeros(0, 0)}, "A.weight has shape"),
        ({"psi": normal(3)}, "convert it with --from lben-2021"),
    ],
)
def test_malformed_entries_are_named(tmp_path, changes, message):
    path = written(tmp_path, state_dict(SHAPES, **changes))
    with pytest.raises(InputError, match=message) as caught:
        convert(path, "mondeq-2020", {"m": 1})
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "does not store m; give it as --set m=1"),
        ({"m": 0.0}, "expected a positive"),
        ({"m": 1.0, "gamma": 1.0}, "mondeq-2020 takes m, mean and std"),
        ({"m": 1.0, "std": -1.0}, "std"),
    ],
)
def test_bad_scalars_are_refused(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        convert(written(tmp_path, state_dict(SHAPES)), "mondeq-2020", values)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused(tmp_path, capsys, what):
    check_hostile(tmp_path, capsys, "mondeq-2020", what)
