"""The commands as functions: from a torch module to radii, documents and a certificate."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import certlip
from certlip.api.bounds import check_lmi, lipschitz
from certlip.api.certified import certify
from certlip.api.checked import verify
from certlip.api.models import freeze, load
from certlip.blocks import save
from certlip.errors import InputError
from certlip.report import load_schema


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3)).eval()


@pytest.fixture(scope="module")
def samples(module):
    x = torch.rand(40, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, module(x).argmax(dim=1)


@pytest.fixture(scope="module")
def network(module):
    return freeze(module, (3, 2, 2))


def test_radii_of_a_torch_module_are_those_of_the_command(network, samples, tmp_path):
    x, label = samples
    result = certify(network, x, label, eps="0.01,1/100000", falsify=4)
    assert result.exit_code == 0
    assert result.natural_accuracy == 1.0
    assert result.certified_accuracy["1/100000"] > 0.9
    radius = result.radii.radius_lower
    assert result.certified_accuracy["0.01"] == (radius >= 0.01).mean()
    assert [float(row["radius_lower"]) for row in result.samples] == radius.tolist()
    assert result.document["falsifier"]["attacked"] == 4
    from certlip_cli.main import app
    from typer.testing import CliRunner

    save(network, tmp_path / "model.pt")
    np.savez(tmp_path / "d.npz", x=x.numpy(), y=label.numpy())
    line = ["certify", str(tmp_path / "model.pt"), "--dataset", f"npz:{tmp_path / 'd.npz'}"]
    line += ["--eps", "0.01,1/100000", "--report", str(tmp_path / "r"), "-q", "--falsify", "0"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (tmp_path / "r/results.jsonl").read_text().splitlines()]
    assert rows == [dict(row) for row in result.samples]


def test_the_document_is_that_of_its_schema(network, samples, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    result = certify(network, *samples, falsify=0)
    text = result.to_json(tmp_path / "out" / "result.json")
    assert (tmp_path / "out" / "result.json").read_text() == text
    jsonschema.validate(json.loads(text), load_schema("certify-1"))


@pytest.mark.parametrize("shape", ["explicit", "lben"])
def test_a_certificate_is_verified_about_this_model_and_these_samples(
    network, samples, tmp_path, shape
):
    if shape == "lben":
        network = certlip.reparametrize(network).freeze()
    path = tmp_path / "a.certlip"
    result = certify(network, *samples, eps="0.01", certificate=path, falsify=0)
    verdict = verify(path, model=network, data=result.data)
    assert verdict.accepted
    assert verdict.verdict.certified_accuracy == result.certified_accuracy
    other = certify(network, samples[0] * 0.5, samples[1], falsify=0).data
    assert not verify(path, data=other).accepted


def test_bounds_hold_for_differences_and_are_ordered(network, module):
    result = lipschitz(network)
    assert result.lipschitz_upper is not None
    spectral = float(result.document["spectral_product"])
    assert result.lipschitz_upper <= spectral
    x, y = torch.rand(2, 2000, 3, 2, 2, generator=torch.Generator().manual_seed(2)).double()
    far = (x - y).flatten(1).norm(dim=1)
    with torch.no_grad():
        apart = (module.double()(x) - module(y)).norm(dim=1)
    module.float()
    assert float((apart / far).max()) <= result.lipschitz_upper
    checked = check_lmi(network)
    assert checked.holds
    assert checked.lipschitz_upper is not None
    assert checked.lipschitz_upper <= spectral * (1 + 1e-9)


def test_a_condition_that_fails_says_so(network):
    lben = certlip.reparametrize(network).freeze()
    result = check_lmi(lben, ("10",), lipschitz=1e-3, method="analytic")
    assert not result.holds
    assert result.exit_code in (1, 3)


def test_both_norms_at_once(network, samples):
    result = certify(network, *samples, eps="0.001", norm="l2,linf", falsify=2)
    radius, linf = result.radii.radius_lower, result.radii.radius_linf
    assert linf is not None
    assert (linf * 12**0.5 >= radius * (1 - 1e-9)).all()  # at least what the ℓ2 ball contains
    assert result.document["linf"]["certified_accuracy"]["0.001"] == (linf >= 0.001).mean()
    assert result.document["settings"]["boxes"] == "interval"


def test_models_may_be_paths(network, samples, tmp_path):
    save(network, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.sha256() == network.sha256()
    result = certify(str(tmp_path / "model.safetensors"), *samples, falsify=0)
    assert result.document["model"]["path"].endswith("model.safetensors")


def test_a_plot_passes_through_the_accuracies(network, samples):
    pytest.importorskip("matplotlib")
    result = certify(network, *samples, eps="0.01", falsify=0)
    (line,) = result.plot().lines
    eps, share = map(np.asarray, line.get_data())
    assert share[0] == pytest.approx((result.radii.radius_lower > 0).mean())
    assert (np.diff(share) <= 0).all()
    assert share[np.searchsorted(eps, 0.01)] == result.certified_accuracy["0.01"]


@pytest.mark.parametrize(
    ("data", "label", "word"),
    [
        (np.zeros((3, 12)), None, "label"),
        (np.zeros((3, 12)), np.zeros(2, dtype=int), "label"),
        (np.zeros((3, 12)), np.zeros(3), "integers"),
        (np.zeros((3, 12), dtype=np.uint8), np.zeros(3, dtype=int), "float"),
        (np.zeros((3, 11)), np.zeros(3, dtype=int), "12 numbers"),
        (np.full((3, 12), np.nan), np.zeros(3, dtype=int), "finite"),
        (np.zeros(12), np.zeros(1, dtype=int), "row"),
        (np.zeros((3, 12)), np.full(3, 7), "7"),
    ],
)
def test_samples_that_do_not_fit_are_named(network, data, label, word):
    with pytest.raises(InputError, match=word):
        certify(network, data, label)
