"""Certificates that are right are accepted, with the numbers that were claimed."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from checker_nets import (
    SQRT2,
    activation,
    affine,
    claim,
    data_hash,
    deep,
    draft,
    equilibrium,
    model_hash,
    normalize,
    radii,
    residual,
    small,
    triangular,
    write,
)

import certlip.checker
from certlip.checker import check_certificate
from certlip.checker.blocks import Block
from certlip.checker.functions import enclose
from certlip.checker.samples import CHUNK


def accept(d, tmp_path):
    verdict = check_certificate(write(d, tmp_path / "a.certlip"))
    assert verdict.accepted, verdict.reason
    return verdict


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("base", [small, deep])
def test_random_networks(base, seed, tmp_path):
    d = base(seed)
    verdict = accept(d, tmp_path)
    assert verdict.lipschitz_upper == d["lipschitz_upper"]
    assert verdict.n == 30
    assert verdict.natural_accuracy == d["claims"]["natural_correct"] / 30
    counted = {e: c / 30 for e, c in d["claims"]["certified_correct"].items()}
    assert verdict.certified_accuracy == counted
    assert verdict.model_sha256 == model_hash(d["blocks"])
    assert verdict.data_sha256 == data_hash(d)
    assert [name for name, _ in verdict.checks][:2] == ["file", "block 0"]


CHAINS = {
    "one affine": lambda r: [affine(r, 3, 4)],
    "residual first": lambda r: [residual(r, 4, 3), affine(r, 3, 4)],
    "wide residual": lambda r: [residual(r, 4, 9), residual(r, 4, 9)],
    "activations": lambda r: [
        activation([["tanh", 4, {}]]),
        affine(r, 3, 4),
        activation([["identity", 3, {}]]),
    ],
    "triangular": lambda r: [triangular(r, 10, 4, 3)],
    "two equilibria": lambda r: [equilibrium(r, 8, 4, 5), triangular(r, 7, 5, 5), affine(r, 3, 5)],
    "equilibrium of tanh": lambda r: [equilibrium(r, 8, 4, 5, sigma=[["tanh", 8, {}]])],
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains(name, tmp_path):
    rng = np.random.default_rng(3)
    pairs = [normalize(rng, 4), *CHAINS[name](rng)]
    pairs = pairs[1:] if "first" in name else pairs
    assert accept(draft(rng, pairs), tmp_path).certified_accuracy["0.01"] > 0


def test_zero_samples_prove_the_bound_alone(tmp_path):
    rng = np.random.default_rng(0)
    d = draft(rng, [normalize(rng, 4), equilibrium(rng, 6, 4, 3)], n=0)
    verdict = accept(d, tmp_path)
    assert (verdict.n, verdict.natural_accuracy) == (0, 0.0)
    assert verdict.certified_accuracy == {"36/255": 0.0, "0.01": 0.0}


def test_more_samples_than_a_chunk(tmp_path):
    rng = np.random.default_rng(0)
    d = draft(rng, [affine(rng, 6, 4), residual(rng, 6, 4)], n=2 * CHUNK + 7)
    accept(d, tmp_path)
    i = int(np.flatnonzero(d["samples"]["status"] == 0)[-1])
    d["samples"]["radius_lower"][i] *= 1.0001
    verdict = check_certificate(write(claim(d), tmp_path / "b.certlip"))
    assert f"sample {i}:" in verdict.reason


def test_an_uncertified_sample_claims_nothing(tmp_path):
    """Unknown may be right, wrong or no class, and its guess may be anything that is finite."""
    d = deep()
    s = d["samples"]
    some = [*np.flatnonzero(s["status"] == 0)[:2], *np.flatnonzero(s["status"] == 1)[:2]]
    s["status"][some], s["radius_lower"][some], s["z"]["1"][some] = 2, 0.0, 1e300
    s["predicted"][[some[1], some[3]]] = -1
    accept(claim(d), tmp_path)


def test_a_poor_guess_costs_radius_only(tmp_path):
    d = deep()
    d["samples"]["z"]["1"] *= 1 + 1e-6
    path = write(d, tmp_path / "a.certlip")
    assert "expected <=" in check_certificate(path).reason
    d["samples"]["radius_lower"] = np.maximum(d["samples"]["radius_lower"] - 1e-4, 0.0)
    keep = (d["samples"]["radius_lower"] > 0) | (d["samples"]["status"] != 0)
    d["samples"]["status"] = np.where(keep, d["samples"]["status"], 2)
    accept(claim(d), tmp_path)


@pytest.mark.parametrize(("share", "accepted"), [(0.3, False), (1.001, True)])
def test_an_error_is_multiplied_by_the_blocks_behind_it(share, accepted, tmp_path):
    """E = L_2 δ_1 + δ_2 with L_2 about 100: a share of √2 E/L̄ is not enough."""
    rng = np.random.default_rng(0)
    pairs = [equilibrium(rng, 8, 5, 6), affine(rng, 3, 6)]
    W = pairs[1][0][2]["W"]
    W *= 100
    lip = float(np.linalg.norm(W, 2) * (1 + 1e-9))
    pairs[1][1]["lipschitz_upper"] = repr(lip)
    d = draft(rng, pairs, slack=0.0)
    s = d["samples"]
    s["z"]["0"] += 1e-9 * rng.normal(size=s["z"]["0"].shape)
    G, b = pairs[0][0][2]["G"], pairs[0][0][2]["b_y"]
    y = (s["z"]["0"] @ G.T + b) @ W.T + pairs[1][0][2]["b"]
    lips = [2.0, lip]
    arrays = pairs[0][0][2] | {k: v for k, v in pairs[0][1].items() if isinstance(v, np.ndarray)}
    node = {"kind": "equilibrium", "meta": pairs[0][0][1], "arrays": {k: k for k in pairs[0][0][2]}}
    block = Block(node, arrays, 5)
    proof = {k: k if isinstance(v, np.ndarray) else v for k, v in pairs[0][1].items()}
    block.prove(proof, arrays)
    _, delta = enclose(block, s["x"], s["z"]["0"])
    blocks = [pair[0] for pair in pairs]
    pairwise = 2.0 * np.linalg.norm(W[:, None] - W, axis=2) + np.eye(3) * 1e300
    smallest = np.minimum(pairwise, SQRT2 * 2.0 * lip).min(axis=1)[s["predicted"]]
    less = share * SQRT2 * lip * delta / smallest
    radius = radii(blocks, y, s["predicted"], lips) - less
    s["radius_lower"] = np.where(s["status"] == 0, radius, 0.0)
    verdict = check_certificate(write(claim(d), tmp_path / "a.certlip"))
    assert verdict.accepted == accepted, verdict.reason
    assert accepted or "radius_lower" in verdict.reason


def test_radii_need_little_slack(tmp_path):
    """The checker's own rounding costs about 1e-12, although logits are about 10."""
    rng = np.random.default_rng(0)
    d = draft(rng, [affine(rng, 40, 90), affine(rng, 10, 40)], slack=0.0)
    d["samples"]["radius_lower"] -= np.where(d["samples"]["status"] == 0, 1e-12, 0.0)
    accept(claim(d), tmp_path)


def test_states_of_float32(tmp_path):
    """They are guesses as good as others: the radii have to allow for their residuals."""
    d = deep()
    d["samples"]["z"]["1"] = d["samples"]["z"]["1"].astype("<f4")
    d["samples"]["radius_lower"] = np.maximum(d["samples"]["radius_lower"] - 1e-4, 0.0)
    keep = (d["samples"]["radius_lower"] > 0) | (d["samples"]["status"] != 0)
    d["samples"]["status"] = np.where(keep, d["samples"]["status"], 2)
    accept(claim(d), tmp_path)


def test_a_truncation_is_one_lipschitz(tmp_path):
    rng = np.random.default_rng(0)
    block, proof = affine(rng, 3, 5)
    block[2]["W"] = np.eye(3, 5)
    lip = "1.000000000000005"
    d = draft(rng, [(block, proof | {"lipschitz_upper": lip})])
    d["lipschitz_upper"] = lip
    assert accept(d, tmp_path).lipschitz_upper == lip


def test_a_constant_network_may_claim_any_radius(tmp_path):
    rng = np.random.default_rng(0)
    block, proof = affine(rng, 2, 3)
    block[2]["W"][:], block[2]["b"][:] = 0.0, [1.0, 0.0]
    d = draft(rng, [(block, proof | {"lipschitz_upper": "1e-9"})])
    d["proofs"][0]["lipschitz_upper"] = d["lipschitz_upper"] = "0"
    d["samples"]["radius_lower"] = np.where(d["samples"]["status"] == 0, 1e100, 0.0)
    verdict = accept(claim(d), tmp_path)
    assert verdict.lipschitz_upper == "0.0"
    assert SQRT2 * float(verdict.lipschitz_upper) == 0


def test_residual_with_delta(tmp_path):
    rng = np.random.default_rng(0)
    block, proof = residual(rng, 5, 4)
    scale = np.linalg.norm(block[2]["W"] * np.sqrt(block[2]["D"]), 2) ** 2
    block[2]["D"] *= (1 + 1e-7) / scale  # the norm is 1 + 1e-7 now
    lip = float(np.sqrt(1 + 4 * 2e-7 * (1 + 2e-7)) * (1 + 1e-15))
    proof |= {"delta": "2e-7", "lipschitz_upper": repr(lip)}
    accept(draft(rng, [(block, proof)]), tmp_path)


@pytest.mark.parametrize(("folder", "limit"), [(".", 800), ("exact", 200)])
def test_the_checker_is_small_and_imports_numpy_only(folder, limit):
    """All that reads and proves, and the second route in exact arithmetic."""
    sources = list((Path(certlip.checker.__file__).parent / folder).glob("*.py"))
    assert 0 < sum(len(source.read_text().splitlines()) for source in sources) < limit
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                allowed = top in sys.stdlib_module_names or top == "numpy"
                assert allowed or name.startswith("certlip.checker"), (source.name, name)
