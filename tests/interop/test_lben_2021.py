"""The published Lipschitz-bounded equilibrium networks: same functions as their formulas, claims proven."""

import numpy as np
import pytest
import torch
from checkpoints import HOSTILE, check_hostile, normal, state_dict, written

from certlip.data import load as load_data
from certlip.errors import InputError, RejectedError
from certlip.interop import convert
from certlip.lmi import prove
from certlip.solvers import Evaluator

SHAPES = {
    "psi": (3,),
    "B.weight": (3, 4),
    "B.bias": (3,),
    "V.weight": (3, 3),
    "S.weight": (3, 3),
    "G.weight": (2, 3),
    "G.bias": (2,),
}
BOTH = {"gamma": 1.5, "m": 1.0}


@pytest.mark.parametrize(
    ("name", "gamma", "accuracy", "slope"),
    [("fc_lip0.2_w80", 0.2, 0.9259, 0.19553), ("fc_lip5.0_w80", 5.0, 0.9819, 2.912)],
)
def test_the_published_models(shared_data, name, gamma, accuracy, slope):
    """Accuracy as the authors recorded it, the claimed bound proven, above every slope that was found."""
    path = shared_data / "models" / "lben" / f"{name}.params"
    network = convert(path, "lben-2021", {"gamma": gamma, "m": 1})
    data = load_data("mnist", data_dir=shared_data)
    y = Evaluator(network)(torch.from_numpy(data.x))
    assert (y.argmax(1).numpy() == data.label).mean() == accuracy
    proof = prove(network).blocks[1]
    assert proof.lip.value == gamma == proof.claimed
    with pytest.raises(RejectedError):
        prove(network, lip=0.99 * slope)


def test_the_same_function_as_the_formula(tmp_path):
    entries = state_dict(SHAPES)
    values = {**BOTH, "mean": 0.25, "std": 0.5}
    network = convert(written(tmp_path, entries), "lben-2021", values)
    psi, U, b_z, V, S, G, b_y = (entry.double().numpy() for entry in entries.values())
    psi, gamma = np.exp(psi), 1.5
    R = G.T @ G / (2 * gamma) + U @ U.T / psi / psi[:, None] / (2 * gamma) + V.T @ V + np.eye(3)
    W = np.eye(3) - psi[:, None] * (R + S.T - S)
    np.testing.assert_allclose(network.blocks[1].W.numpy(), W, atol=1e-13)
    x = np.random.default_rng(1).normal(size=(5, 4))
    z = np.zeros((5, 3))
    for _ in range(8000):
        z = z + 0.01 * (np.maximum(z @ W.T + (x - 0.25) / 0.5 @ U.T + b_z, 0) - z)
    y = Evaluator(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(y, z @ G.T + b_y, atol=1e-9)
    assert prove(network).blocks[1].lip.value == gamma


def test_the_history_says_where_it_is_from(tmp_path):
    network = convert(written(tmp_path, state_dict(SHAPES)), "lben-2021", BOTH)
    (entry,) = network.history
    assert entry == {
        "step": "convert",
        "format": "lben-2021",
        "source": "model.params",
        "values": BOTH,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"V.weight": None}, "no entry 'V.weight'"),
        ({"extra": normal(1)}, "unexpected entry 'extra'"),
        ({"V.weight": normal(4, 4)}, r"V.weight has shape \(4, 4\): expected \(3, 3\)"),
        ({"B.weight": normal(2, 4)}, "B.weight has shape"),
        ({"G.weight": normal(2, 4)}, "G.weight has shape"),
        ({"psi": normal(3, 1)}, "psi has shape"),
        ({"psi": torch.full((3,), 1000.0)}, "psi: exp"),
        ({"psi": torch.full((3,), -1000.0)}, "psi: exp"),
        ({"S.weight": torch.full((3, 3), torch.inf)}, "S.weight has an entry that is not finite"),
        ({"V.weight": torch.full((3, 3), 1e200, dtype=torch.float64)}, "W.*expected finite"),
    ],
)
def test_malformed_entries_are_named(tmp_path, changes, message):
    path = written(tmp_path, state_dict(SHAPES, **changes))
    with pytest.raises(InputError, match=message) as caught:
        convert(path, "lben-2021", BOTH)
    assert str(path) in str(caught.value)


def test_a_file_of_the_other_format_is_named(tmp_path):
    shapes = {"A.weight": (3, 3), "B.weight": (3, 3), "U.weight": (3, 4)}
    path = written(tmp_path, state_dict(shapes))
    with pytest.raises(
        InputError, match="those of mondeq-2020; convert it with --from mondeq-2020"
    ):
        convert(path, "lben-2021", BOTH)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"m": 1.0}, "does not store gamma; give it as --set gamma=5"),
        ({"gamma": 1.0}, "does not store m; give it as --set m=1"),
        ({"m": 1.0, "gamma": -1.0}, "gamma=-1.0: expected a positive"),
        ({"m": float("inf"), "gamma": 1.0}, "m=inf: expected a positive"),
        ({**BOTH, "lip": 1.0}, "lben-2021 takes gamma, m, mean and std"),
    ],
)
def test_bad_scalars_are_refused(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        convert(written(tmp_path, state_dict(SHAPES)), "lben-2021", values)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused(tmp_path, capsys, what):
    check_hostile(tmp_path, capsys, "lben-2021", what)
