"""Bounds of pairs on the command line: used, reported, part of what a run depends on."""

import json
import zipfile
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import torch
from certlip_cli.run_folder import proof_entry

from certlip.blocks import Affine, Equilibrium, Network, Origin, Sigma, save
from certlip.blocks.activations import ReLU
from certlip.lmi import prove, prove_pairs
from certlip.lmi.search import Search
from certlip.report import load_schema


def network_of():
    """A monotone DEQ, 6 → 4, n = 8."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, 8, 8)) / 3.0
    W = 0.5 * np.eye(8) - A.T @ A + B - B.T
    shapes = ((8, 6), (4, 8), 8, 4)
    rest = [rng.standard_normal(shape) for shape in shapes]
    tensors = [torch.from_numpy(np.asarray(array)) for array in (W, *rest)]
    return Network([Equilibrium(*tensors, Sigma.of(ReLU(), 8), Origin("mondeq", {"m": 0.5}))])


@pytest.fixture
def line(tmp_path):
    """The command line that certifies 50 samples, with the classes that the network gives them."""
    network = network_of()
    save(network, tmp_path / "model.pt")
    from certlip.solvers import Evaluator

    x = np.random.default_rng(1).random((50, 6))
    y = Evaluator(network)(torch.from_numpy(x)).numpy().argmax(axis=1)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return (
        *("certify", tmp_path / "model.pt", "--dataset", f"npz:{tmp_path / 'data.npz'}"),
        *("--split", "all", "--eps", "0.05", "--json"),
    )


def radii_in(folder):
    rows = (folder / "results.jsonl").read_text().splitlines()
    return np.array([float(json.loads(row)["radius_lower"]) for row in rows])


def test_pairs_lengthen_radii_and_no_attack_breaks_them(certlip, line, tmp_path, monkeypatch):
    found = {}
    for method in ("analytic", "structured"):
        what = (*line, "--method", method, "--falsify", 50, "--report", tmp_path / method)
        result = certlip(*what)
        assert result.code == 0, result.err
        jsonschema.validate(result.document, load_schema("certify-1"))
        assert result.document["pairs"] == {"lmi": 6, "rows": 0, "sqrt2": 0}
        assert result.document["falsifier"]["broken"] == 0
        assert "6 by an LMI" in result.err
        found[method] = radii_in(tmp_path / method)
    monkeypatch.setattr("certlip.api.certified.prove_pairs", lambda network, proof, search: proof)
    result = certlip(
        *line, "--falsify", 0, "--method", "structured", "--report", tmp_path / "plain"
    )
    assert result.document["pairs"] == {"lmi": 0, "rows": 0, "sqrt2": 6}
    assert (found["structured"] > 1.1 * radii_in(tmp_path / "plain")).all()
    assert (found["structured"] > found["analytic"]).all()


@pytest.mark.parametrize("method", ["analytic", "structured"])
def test_a_certificate_has_the_pairs_and_its_checker_proves_them(certlip, line, tmp_path, method):
    path = tmp_path / "c.certlip"
    line = (*line, "--falsify", 0)
    what = (*line, "--method", method, "--certificate", path, "--report")
    result = certlip(*what, tmp_path / "with")
    assert result.code == 0, result.err
    assert result.document["pairs"] == {"lmi": 6, "rows": 0, "sqrt2": 0}
    assert certlip("verify", path).code == 0
    with zipfile.ZipFile(path) as archive:
        (proof,) = json.loads(archive.read("certificate.json"))["proofs"]
    assert set(proof["pairs"]) == {"a", "j", "lam", "lipschitz_upper"}
    certlip(*line, "--method", method, "--report", tmp_path / "without")
    np.testing.assert_array_equal(radii_in(tmp_path / "with"), radii_in(tmp_path / "without"))


def test_pairs_behind_an_affine_block_are_left_out_of_a_certificate(certlip, line, tmp_path):
    (block,) = network_of().blocks
    flipped = Affine(torch.eye(4).double().flip(0), torch.zeros(4).double())
    save(Network([block, flipped, flipped]), tmp_path / "model.pt")
    path, line = tmp_path / "c.certlip", (*line, "--falsify", 0)
    result = certlip(*line, "--method", "structured", "--certificate", path)
    assert result.code == 0, result.err
    assert result.document["pairs"]["lmi"] == 0
    assert certlip("verify", path).code == 0
    again = certlip(*line, "--method", "structured")
    assert again.document["pairs"] == {"lmi": 6, "rows": 0, "sqrt2": 0}


def test_bounds_that_are_too_small_are_broken(certlip, line, monkeypatch):

    def too_small(network, proof, search):
        proof = prove_pairs(network, proof, search)
        own = proof.blocks[-1]
        pairs = replace(own.pairs, lip=0.2 * own.pairs.lip)
        return replace(proof, blocks=(*proof.blocks[:-1], replace(own, pairs=pairs)))

    monkeypatch.setattr("certlip.api.certified.prove_pairs", too_small)
    assert certlip(*line, "--method", "structured", "--falsify", 50).code == 5


def test_a_run_goes_on_with_the_same_pairs_only(certlip, line, tmp_path, monkeypatch):
    what = (*line, "--falsify", 0, "--method", "structured", "--report", tmp_path / "r")
    assert certlip(*what).code == 0
    assert certlip(*what, "--resume").code == 0
    monkeypatch.setattr("certlip.api.certified.prove_pairs", lambda network, proof, search: proof)
    other = certlip(*what, "--resume")
    assert other.code == 2
    assert "proof.sha256" in other.err


def test_the_hash_of_a_proof_is_about_every_number_of_its_pairs():
    network, search = network_of(), Search("structured")
    proof = prove_pairs(network, prove(network, search=search), search)
    own = proof.blocks[-1]
    seen = {proof_entry(proof)["sha256"]}
    for name in ("a", "j", "lip", "lam"):
        array = getattr(own.pairs, name).copy()
        array.flat[-1] = 2 if name in "aj" and array.flat[-1] != 2 else array.flat[-1] * 1.5
        other = replace(own, pairs=replace(own.pairs, **{name: array}))
        seen.add(proof_entry(replace(proof, blocks=(other,)))["sha256"])
    assert len(seen) == 5
