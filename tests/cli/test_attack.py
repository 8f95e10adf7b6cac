"""`certlip attack`: what attacks leave lies above what is certified, and what they break is seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import certlip as package
from certlip import data
from certlip.api import attacked as attacked_module
from certlip.blocks import load
from certlip.certification import Certifier, parse_eps
from certlip.certification.attacks import load_counterexamples
from certlip.lmi import prove

EPS = "0.3,0.05,1,30"


@pytest.fixture(scope="module")
def model(story):
    return story / "sll" / "model.pt"


@pytest.fixture
def line(model):
    return ("attack", model, "--dataset", "digits", "--limit", 90, "--steps", 5, "--json")


def shares(result):
    found = result.document["robust_accuracy_upper"]
    return [found[e] for e in ("0.05", "0.3", "1", "30")]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_what_is_left_is_above_what_is_certified_and_falls_with_eps(certlip, line, model, norm):
    result = certlip(*line, "--norm", norm, "--eps", EPS)
    assert result.code == 0, result.err
    document, left = result.document, shares(result)
    assert document["natural_accuracy"] >= left[0]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0.0  # no class survives everywhere
    assert document["broken"] == 0
    assert document["checked"] == document["found"]["30"] > 0
    for eps, count in document["found"].items():
        share = document["natural_accuracy"] - document["robust_accuracy_upper"][eps]
        assert count == round(90 * share)
    proven = certlip(
        *("certify", model, "--dataset", "digits", "--limit", 90, "--falsify", 0, "--json"),
        *("--norm", norm, "--eps", EPS),
    ).document
    assert proven["natural_accuracy"] == document["natural_accuracy"]
    for eps, share in proven["certified_accuracy"].items():
        assert share <= document["robust_accuracy_upper"][eps]


def test_counterexamples_are_kept_and_hold(certlip, line, model, tmp_path):
    out = tmp_path / "new" / "found.npz"
    result = certlip(*line, "--eps", EPS, "--out", out)
    network = load(model)
    found = load_counterexamples(out, network)
    assert len(found) == result.document["checked"]
    samples, proof = data.load("digits", split="test", limit=90), prove(network)
    assert len({c.index for c in found}) == len(found)
    for c in found[:10]:
        np.testing.assert_array_equal(c.sample, samples.x[c.index])
        assert c.label == samples.label[c.index]
        assert c.radius in {0.05, 0.3, 1.0, 30.0}
        assert np.linalg.norm(c.point - c.sample) <= c.radius * (1.0 + 1e-12)
        assert c.holds(network, proof)


class TooLarge(Certifier):
    """Every radius three times as large."""

    def __call__(self, *args, **options):
        radii = super().__call__(*args, **options)
        return replace(radii, radius_lower=3.0 * radii.radius_lower)


def test_a_radius_that_an_attack_broke_is_unsound(certlip, line, monkeypatch, tmp_path):
    monkeypatch.setattr(attacked_module, "Certifier", TooLarge)
    result = certlip(*line, "--eps", "0.1,0.2,0.3,0.4,0.5,0.7,1")
    assert result.code == 5
    assert result.document["broken"] > 0
    assert "UNSOUND: sample" in result.err
    unchecked = certlip(*line, "--eps", "0.5,1", "--no-check")
    assert (unchecked.code, unchecked.document["checked"]) == (0, 0)
    assert "cross-check" not in unchecked.err


def test_the_function_gives_the_document_of_the_command(certlip, line, model):
    told = []
    result = package.attack(
        *(model, data.load("digits", split="test", limit=90)),
        eps="0.5",
        attacks=("pgd", "ascent"),
        steps=5,
        on_progress=lambda done, total: told.append((done, total)),
    )
    other = certlip(*line, "--eps", "0.5").document
    for key in ("robust_accuracy_upper", "natural_accuracy", "found", "attacks", "data"):
        assert result.document[key] == other[key]
    assert told[-1] == (90, 90)
    assert len(result.found) == other["found"]["0.5"]
    assert "robust at most {0.5:" in repr(result)
    with pytest.raises(package.errors.InputError, match="expected one of l2 and linf"):
        package.attack(model, data.load("digits", limit=9), norm="l2,linf")


def test_no_point_is_farther_out_than_eps():
    for text in ("0.1", "1/3", "36/255", "2", "1e-300"):
        [eps] = parse_eps(text)
        exact = package.certification.eps.Fraction(text)
        assert eps.lower <= exact <= eps.upper
        assert np.nextafter(eps.lower, np.inf) >= eps.upper


def test_wrong_classes_and_logits_that_are_no_numbers_are_not_right(tmp_path):
    layer = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    result = package.attack(package.freeze(layer, (2,)), x, [0, 1, 1], eps="0.1,0.75")
    assert result.natural_accuracy == 2 / 3
    assert result.robust_accuracy_upper == {"0.1": 2 / 3, "0.75": 0.0}


BAD = {
    ("--norm", "l1"): "l1",
    ("--norm", "l2,linf"): "expected l2 or linf",
    ("--steps", "0"): "--steps 0: expected at least 1",
    ("--restarts", "0"): "--restarts 0: expected at least 1",
    ("--attacks", "guess"): "--attacks 'guess'",
    ("--eps", "-1"): "--eps '-1'",
    ("--semantics", "float16"): "float16",
    ("--out", "."): "is a folder",
}


@pytest.mark.parametrize("more", BAD)
def test_bad_options_are_one_line(certlip, line, more):
    result = certlip(*line, *more)
    assert result.code == 2
    assert BAD[more] in result.err
    assert "Traceback" not in result.err


def test_float32_attacks_speak_of_the_deployed_evaluation(certlip, line):
    result = certlip(*line, "--semantics", "float32", "--eps", "1")
    assert result.code == 0
    assert result.document["settings"]["semantics"] == "float32"
    refused = certlip(*line, "--semantics", "float32", "--norm", "linf", "--eps", "1")
    assert refused.code == 3
