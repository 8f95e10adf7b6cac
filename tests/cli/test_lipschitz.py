"""`certlip lipschitz` from the command line."""

from __future__ import annotations

import jsonschema
import pytest
import torch

from certlip.blocks import Activation, Affine, Equilibrium, Network, Sigma, save
from certlip.blocks.activations import ReLU
from certlip.report.schemas import load_schema


@pytest.fixture
def model(tmp_path):
    """A small perceptron, 4 → 3."""
    g = torch.Generator().manual_seed(0)

    def affine(rows, columns):
        W = torch.randn(rows, columns, generator=g, dtype=torch.float64)
        return Affine(W, torch.zeros(rows, dtype=torch.float64))

    relu = Activation(Sigma.of(ReLU(), 5))
    path = tmp_path / "model.pt"
    save(Network([affine(5, 4), relu, affine(5, 5), relu, affine(3, 5)]), path)
    return path


def test_the_document_has_every_rung_and_every_pair(certlip, model):
    result = certlip("lipschitz", model, "--json")
    assert result.code == 0
    document = result.document
    jsonschema.validate(document, load_schema("lipschitz-1"))
    bounds = [float(rung["lipschitz_upper"]) for rung in document["rungs"]]
    assert bounds == sorted(bounds, reverse=True)
    assert float(document["lipschitz_upper"]) == bounds[-1] < bounds[0]
    assert bounds[0] == float(document["spectral_product"])
    pairs = [[float(bound) for bound in row] for row in document["pairs_upper"]]
    assert [len(row) for row in pairs] == [3, 3, 3]
    assert all(pairs[a][a] == 0.0 for a in range(3))
    assert max(map(max, pairs)) < 2**0.5 * bounds[-1]
    assert "network LMI" in result.err


def test_without_pairs_none_are_computed(certlip, model):
    document = certlip("lipschitz", model, "--no-pairs", "--json").document
    assert document["pairs_upper"] is None
    jsonschema.validate(document, load_schema("lipschitz-1"))


def test_limits_are_named_and_what_is_printed_is_still_proven(certlip, model):
    full = certlip("lipschitz", model, "--json").document
    late = certlip("lipschitz", model, "--max-seconds", "1e-9", "--json")
    assert late.code == 0
    assert float(late.document["lipschitz_upper"]) >= float(full["lipschitz_upper"])
    assert "no time" in late.document["pairs_reason"]
    small = certlip("lipschitz", model, "--memory", "1e-9")
    assert small.code == 0
    assert "GiB are free" in small.err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--tol", "0"), ("--max-seconds", "-1"), ("--memory", "nan"), ("--tol", "inf")],
)
def test_bad_limits_are_one_line(certlip, model, option, value):
    result = certlip("lipschitz", model, option, value)
    assert result.code == 2
    assert f"{option} {value}" in result.err.replace("-1.0", "-1").replace(" 0.0", " 0")
    assert result.err.count("\n") == 1


def test_nothing_proven_is_inconclusive(certlip, tmp_path):
    one = torch.ones(1, 1, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    ill = Equilibrium(2 * one, one, one, zero, zero, Sigma.of(ReLU(), 1))
    save(Network([ill]), tmp_path / "ill.pt")
    result = certlip("lipschitz", tmp_path / "ill.pt", "--json")
    assert result.code == 3
    assert result.document["lipschitz_upper"] is None
    jsonschema.validate(result.document, load_schema("lipschitz-1"))
