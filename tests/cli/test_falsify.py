"""`certify --falsify`: what a broken radius leaves behind, and that it can be checked again by itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from certlip import certification as certify_room
from certlip.blocks import Affine, Network, load, save
from certlip.certification import Certifier, attacks
from certlip.certification.attacks import load_counterexamples
from certlip.lmi import prove


class TooLarge(Certifier):
    """Every radius half as large again."""

    def __call__(self, *args, **options):
        radii = super().__call__(*args, **options)
        return replace(radii, radius_lower=1.5 * radii.radius_lower)


class OnlyReal(Certifier):
    """Says float32 and certifies the real network."""

    def __init__(self, *args, semantics, **options):
        super().__init__(*args, semantics="real", **options)


@pytest.fixture
def line(tmp_path):
    """A network whose logits share a large term, samples, and how to certify them."""
    rng = np.random.default_rng(0)
    W = 1e6 * rng.standard_normal(8) + 0.1 * rng.standard_normal((4, 8))
    network = Network([Affine(torch.from_numpy(W), torch.zeros(4, dtype=torch.float64))])
    save(network, tmp_path / "model.pt")
    x = rng.uniform(size=(40, 8))
    np.savez(tmp_path / "data.npz", x=x, y=(x @ W.T).argmax(axis=1))
    dataset = f"npz:{tmp_path / 'data.npz'}"
    return (
        *("certify", tmp_path / "model.pt", "--dataset", dataset, "--falsify", 40),
        *("--report", tmp_path / "r", "--json"),
    )


@pytest.mark.parametrize(("bug", "semantics"), [(TooLarge, "real"), (OnlyReal, "float32")])
def test_a_broken_radius_is_kept_with_all_that_checks_it(
    certlip, line, tmp_path, monkeypatch, bug, semantics
):
    monkeypatch.setattr(certify_room, "Certifier", bug)
    result = certlip(*line, "--semantics", semantics)
    assert result.code == 5
    assert f"in {semantics} arithmetic" in result.err.replace("\n", " ")
    document = result.document
    monkeypatch.undo()
    network = load(tmp_path / "model.pt")
    found = load_counterexamples(tmp_path / "r" / "counterexamples.npz", network)
    assert len(found) == document["falsifier"]["broken"] == document["counts"]["falsified"] > 10
    assert document["falsifier"]["attacks"] == ["pgd", "ascent", "rounding"]
    text = (tmp_path / "r" / "results.jsonl").read_text("utf-8")
    rows = [json.loads(row) for row in text.splitlines()]
    data = np.load(tmp_path / "data.npz")
    assert [c.index for c in found] == [
        row["index"] for row in rows if row["status"] == "falsified"
    ]
    for c in found:
        assert (c.radius, c.label) == (
            float(rows[c.index]["radius_lower"]),
            rows[c.index]["predicted"],
        )
        np.testing.assert_array_equal(c.sample, data["x"][c.index])
        assert c.semantics == semantics
        assert c.holds(network, prove(network))


def test_sound_radii_are_not_broken(certlip, line):
    result = certlip(*line)
    assert result.code == 0
    assert result.document["falsifier"]["attacked"] > 30
    assert result.document["falsifier"]["broken"] == 0


def test_attacks_are_chosen_by_name(certlip, line):
    result = certlip(*line, "--attacks", "cube, ascent,cube", "--steps", 2, "--restarts", 1)
    assert result.code == 0
    assert result.document["falsifier"]["attacks"] == ["cube", "ascent"]
    for wrong in ("pgd,fgsm", "", "pgd,"):
        result = certlip(*line, "--attacks", wrong)
        assert result.code == 2
        assert "expected some of pgd, cube, ascent, rounding" in result.err
        assert len(result.err.splitlines()) == 1


def test_the_usual_attacks_are_those_of_the_library():
    from certlip_cli.falsifying import USUAL, parse_attacks

    assert parse_attacks(USUAL) == attacks.USUAL
