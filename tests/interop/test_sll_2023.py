"""Checkpoints of the two SLL codes: the function of their formulas, quirks included, and its bound."""

import pytest
import torch
import torch.nn.functional as F
from checkpoints import HOSTILE, check_hostile, normal

from certlip.errors import InputError
from certlip.interop import convert
from certlip.lmi import prove
from certlip.solvers import Evaluator

C, K, SIDE, CLASSES = 5, 4, 8, 3
FEATURES = C * (SIDE // 4) ** 2


def iclr(**changes):
    entries = {
        "1.kernel": normal(K, C, 3, 3, seed=0),
        "1.bias": normal(1, K, 1, 1, seed=1),
        "1.q": normal(K, seed=2),
        "2.kernel": normal(K + 1, C, 3, 3, seed=3),
        "2.bias": normal(1, K + 1, 1, 1, seed=4),
        "2.q": normal(K + 1, seed=5),
        "5.weight": normal(7, FEATURES, seed=6),
        "5.bias": normal(1, 7, seed=7),
        "5.q": normal(7, seed=8),
        "10.weight": normal(CLASSES, FEATURES, seed=9),
        "10.bias": normal(CLASSES, seed=10),
    }
    return checkpoint(entries, "module.model.model.", changes)


def neurips(**changes):
    entries = {
        "convs.0.kernel": normal(K, C, 5, 5, seed=0),
        "convs.0.bias": normal(K, seed=1),
        "convs.0.q": normal(K, seed=2),
        "denses.0.weights": normal(7, FEATURES, seed=6),
        "denses.0.bias": normal(7, seed=7),
        "denses.0.q": normal(7, seed=8),
    }
    return checkpoint(entries, "module.model.", changes)


def checkpoint(entries, prefix, changes):
    entries = {name: value for name, value in (entries | changes).items() if value is not None}
    return {
        "epoch": 3,
        "model_state_dict": {prefix + name: value for name, value in entries.items()},
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": []},
    }


def written(tmp_path, content):
    path = tmp_path / "model.ckpt-3.pth"
    torch.save(content, path)
    return path


def padded(x):
    return F.pad(x, (0, 0, 0, 0, 0, C - 3))


def doubles(content):
    return [value.double() for value in content["model_state_dict"].values()]


def formula_iclr(content, x):
    """The layers written out, with the code's T: in convolutions the same q multiplies and divides."""
    K1, b1, q1, K2, b2, q2, W, b, q, H, h = doubles(content)
    x = padded(x)
    for kernel, bias, own in ((K1, b1, q1), (K2, b2, q2)):
        e, gram = own.exp().reshape(-1, 1, 1, 1), F.conv2d(kernel, kernel, padding=2).abs()
        t = 1.0 / (gram / e * e).sum((1, 2, 3))
        s = t.reshape(1, -1, 1, 1) * F.relu(F.conv2d(x, kernel, padding=1) + bias)
        x = x - 2 * F.conv_transpose2d(s, kernel, padding=1)
    x = F.avg_pool2d(x, 4, divisor_override=4).flatten(1)
    t = 1.0 / (torch.exp(q[None] - q[:, None]) * (W @ W.T)).abs().sum(1)
    x = x - 2 * (t * F.relu(x @ W.T + b)) @ W
    return x @ F.normalize(H, dim=1).T + h


def formula_neurips(content, x):
    kernel, bias, q, W, b, p = doubles(content)
    x, q, p = padded(x), q.abs(), p.abs()
    gram = F.conv2d(kernel, kernel, padding=4).abs().sum((2, 3))
    t = 2.0 / ((gram * q[None]).sum(1) / q)
    s = t[:, None, None] * F.relu(F.conv2d(F.pad(x, (2, 2, 2, 2), "circular"), kernel, bias))
    s = F.pad(s, (2, 2, 2, 2), "circular")
    x = x - F.conv2d(s, kernel.transpose(0, 1).flip(2, 3))
    x = F.avg_pool2d(x, 4, divisor_override=4).flatten(1)
    t = 2.0 / ((W @ W.T).abs() * p[None] / p[:, None]).sum(1)
    return (x - (t * F.relu(x @ W.T + b)) @ W)[:, :CLASSES]


CIFAR = torch.tensor([0.4913, 0.4821, 0.4465], dtype=torch.float64)[:, None, None]
CASES = {
    "iclr": (iclr, formula_iclr, {}, torch.zeros(3, 1, 1)),
    "neurips": (neurips, formula_neurips, {"classes": CLASSES}, CIFAR),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_function_as_the_formula_and_one_lipschitz(tmp_path, name):
    make, formula, values, mean = CASES[name]
    content = make()
    network = convert(written(tmp_path, content), "sll-2023", values)
    x = torch.rand(6, 3, SIDE, SIDE, dtype=torch.float64)
    y = Evaluator(network)(x.flatten(1))
    torch.testing.assert_close(y, formula(content, x - mean), atol=1e-12, rtol=1e-12)
    proof = prove(network)
    for block, own in zip(network.blocks, proof.blocks, strict=True):
        if block.kind in ("conv-residual", "residual"):
            assert own.lip.value <= 1 + 1e-12


def test_values_of_the_normalisation(tmp_path):
    path = written(tmp_path, iclr())
    one = convert(path, "sll-2023", {"mean": 0.5, "std": 0.25}).blocks[0]
    assert (one.mean == 0.5).all()
    assert (one.std == 0.25).all()
    colours = convert(path, "sll-2023", {"mean.1": 0.5}).blocks[0]
    assert colours.mean.reshape(3, -1).unique(dim=1).flatten().tolist() == [0.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("content", "values", "word"),
    [
        (neurips(), {}, "classes"),
        (neurips(), {"classes": 2.5}, "whole"),
        (iclr(), {"classes": 3}, "classes"),
        (iclr(), {"mean.3": 0.1}, "mean.3"),
        (iclr(), {"std": 0.0}, "std"),
        (iclr(**{"1.q": None}), {}, "q"),
        (iclr(**{"1.kernel": normal(K, C, 5, 5)}), {}, "3 × 3"),
        (iclr(**{"10.weight": normal(CLASSES, FEATURES + 1)}), {}, "features"),
        (iclr(**{"extra": normal(3)}), {}, "extra"),
        (neurips(**{"convs.0.q": torch.zeros(K)}), {"classes": 3}, "q"),
        (iclr(**{"1.kernel": torch.full((K, C, 3, 3), torch.nan)}), {}, "finite"),
        (iclr(**{"1.kernel": normal(K, 2, 3, 3)}), {}, "features|channels"),
    ],
)
def test_malformed_checkpoints(tmp_path, content, values, word):
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=word) as caught:
        convert(path, "sll-2023", values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused(tmp_path, capsys, what):
    check_hostile(tmp_path, capsys, "sll-2023", what)
