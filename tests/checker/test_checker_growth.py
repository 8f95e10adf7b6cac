"""Equilibria whose U has full row rank, and the terms of a residual that W and G do not see."""

import copy
import json
from fractions import Fraction

import numpy as np
import pytest
from checker_nets import affine, claim, draft, equilibrium, equilibrium_terms, triangular, write
from exact import definite, product, rational, transposed
from hypothesis import given, settings
from hypothesis import strategies as st
from test_checker_enclosures import F, assert_encloses, proven

from certlip.checker import check_certificate, rigorous
from certlip.checker.functions import enclose
from certlip.checker.rigorous import Ball, condition_3

seeds = st.integers(0, 2**32 - 1)


def slow(U, G=(1.0, 0.0), lip="10.001", w=(0.9, 1.0 - 1e-6), lam=(1.0, 1e-5)):
    """z = Wz + Ux + b_z with diagonal W; the second state contracts by 10⁻⁶ only."""
    n, W = len(w), np.diag(w)
    arrays = {"W": W, "U": np.array(U), "G": np.array([G]), "b_z": np.ones(n), "b_y": np.zeros(1)}
    proof = {"rule": "equilibrium", "lipschitz_upper": lip, "condition": "10"}
    proof |= {"lam": np.array(lam), "gam": np.array([0.5, 2.0])}
    proof["mu_lower"] = repr(float((1 - max(w)) * 0.999))
    return ("equilibrium", {"sigma": [["identity", n, {}]]}, arrays), proof


def off(block, by):
    """The enclosure of one sample from a state that is off, and the true output."""
    W, U, G = (block.arrays[name] for name in "WUG")
    x = np.array([0.5, -1.5, 0.25])[: U.shape[1]]
    c = [sum((F(u) * F(v) for u, v in zip(row, x, strict=True)), Fraction(1)) for row in U]
    z = [v / (1 - F(w)) for v, w in zip(c, np.diag(W), strict=True)]
    guess = np.array([float(v) for v in z]) + by
    y, delta = enclose(block, x[None], guess[None])
    return y[0], delta[0], [sum(F(g) * v for g, v in zip(G[0], z, strict=True))]


@pytest.mark.parametrize("by", [[1e-3, 0.0], [0.0, 1e-3], [-1e-6, 1e-3]])
def test_an_unseen_weak_contraction_costs_nothing(by):
    block = proven(slow(np.eye(2)), 2)
    y, delta, truth = off(block, by)
    assert_encloses(y, delta, truth, 30 * np.abs(by).max())
    assert block.reach == pytest.approx(10.001 / np.sqrt(0.5), rel=1e-4)
    other = copy.copy(block)
    other.reach = block.slope / block.mu
    assert off(other, by)[1] > 1e3 * delta


def test_the_factor_is_attained():
    """2 % less would not hold along the state that the output sees."""
    block = copy.copy(proven(slow(np.eye(2)), 2))
    block.reach *= 0.98
    y, delta, (truth,) = off(block, [1e-3, 0.0])
    assert abs(F(y[0]) - truth) > F(delta)


@pytest.mark.parametrize("U", [[[1.0, 0.0], [0.0, 0.0]], [[1.0], [0.0]], [[0.7, 0.1], [1e-9, 0.0]]])
def test_a_state_that_inputs_hardly_reach_needs_the_margin(U):
    pair = slow(U, G=(1.0, 1e-4), lip="1000", w=(0.5, 0.999), lam=(1.0, 1.0))
    block = proven(pair, len(U[0]))
    assert block.reach == pytest.approx(block.slope / block.mu)
    y, delta, truth = off(block, [0.0, 1e-3])
    assert_encloses(y, delta, truth)
    assert delta > 1e-4


@settings(deadline=None, max_examples=60)
@given(
    seeds, st.integers(1, 4), st.integers(1, 6), st.floats(-17, 0), st.sampled_from([0, -90, 90])
)
def test_least_singular_values_are_lower_bounds(seed, m, n, exponent, scale):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(m, n))
    A[-1] = A[0] + 10.0**exponent * A[-1] if m > 1 else A[-1]
    A = A * 10.0**scale
    R = np.abs(A) * 10.0**exponent * rng.choice([0.0, 0.01, 0.3])
    s = Ball(A[None], R[None]).least()
    if s > 0.0:
        v = np.linalg.svd(A)[0][:, -1:]  # where σ is least, to be made smaller still
        rows = rational(A - np.sign(v * (v.T @ A)) * R * (1 - 1e-12))
        gram, below = product(rows, transposed(rows)), Fraction(s) ** 2 * (1 - Fraction(1, 10**30))
        shifted = [[g - below * (i == j) for j, g in enumerate(row)] for i, row in enumerate(gram)]
        assert definite(shifted)
    assert (s == 0.0) or m <= n
    assert (s > 0.0) or m > n or exponent < -3 or R.any()


def test_all_frequencies_count():
    """|Û| is 0.5 at the first of 18 frequencies and 1.5 at the last, which is in another stack."""
    kernel = np.array([[[[1.0, -0.5]]]])
    arrays = {"W": 0.0 * kernel, "U": kernel, "G": 0.1 * kernel, "b_z": np.zeros(1)}
    arrays |= {"b_y": np.zeros(1)}
    proof = {"rule": "conv-equilibrium", "lipschitz_upper": "9", "condition": "10"}
    proof |= {"lam": np.ones(1), "gam": np.array([4.0]), "mu_lower": "0.001"}
    meta = {"height": 1, "width": 34, "sigma": [["relu", 34, {}]]}
    block = proven((("conv-equilibrium", meta, arrays), proof), 34)
    assert block.reach == pytest.approx(9.0 / (2 * 0.5), rel=1e-4)


def test_all_sizes_count_as_rounded(monkeypatch):
    """Also that of a negative diagonal."""
    seen = []
    monkeypatch.setattr(rigorous, "is_positive_definite", lambda S, R: seen.append(R) or True)
    assert condition_3(Ball(-np.eye(1)[None], np.zeros((1, 1, 1))), np.ones(1), 1.5)
    assert seen[0][0, 0, 0] >= 3 * rigorous.gamma(5) + 2 * rigorous.gamma(6)


@pytest.mark.parametrize("mu", [1.5, 1.999999])
def test_a_margin_above_one(mu):
    """2Γ − ΓW − WᵀΓ = 4Γ for W = −I: 2(1 − μ) is negative."""
    W = Ball(-np.eye(3)[None], np.zeros((1, 3, 3)))
    assert condition_3(W, np.ones(3), mu)
    assert not condition_3(W, np.ones(3), 4.0 - mu)
    near = 2.0 * (1 - 1e-16)
    assert not condition_3(W, np.full(3, 0.7), near)  # nothing is left for rounding


@pytest.mark.parametrize("W", [[[1.0, -1.0], [1.0, -1.0]], [[0.3, -0.3], [0.0, 0.0]]])
def test_rounding_of_what_W_and_G_take_from_a_residual(W):
    """e = (t, t): We and Ge are 0, and what their products may round is most of the bound."""
    arrays = {"W": 0.4 * np.array(W), "U": np.zeros((2, 1)), "G": np.array([[1.0, -1.0]])}
    arrays |= {"b_z": np.zeros(2), "b_y": np.zeros(1)}
    gam = np.ones(2)
    proof = {"rule": "equilibrium", "lipschitz_upper": "1000", "condition": "10"}
    proof |= {"lam": np.ones(2), "gam": gam, "mu_lower": "0.2"}
    block = proven((("equilibrium", {"sigma": [["relu", 2, {}]]}, arrays), proof), 1)
    x, z = np.zeros((1, 1)), np.full((1, 2), 1e3)
    _, delta = enclose(block, x, z)
    assert 0.9999 * equilibrium_terms(block, x, z) <= delta <= 1e-9
    small = copy.copy(block)
    small.reach = small.slope = 0.0
    assert enclose(small, x, z)[1] >= 0.9999 * block.maps["G"].error() * np.sqrt(2) * 2e3


def test_a_pair_counts_from_zero(tmp_path):
    """−1 would be the last output to NumPy."""
    d = draft(np.random.default_rng(0), [equilibrium(np.random.default_rng(0), 6, 4, 3)])
    pairs = {"a": np.array([0, -1]), "j": np.array([1, 0]), "lipschitz_upper": np.full(2, 99.0)}
    pairs["lam"] = np.tile(d["proofs"][0]["lam"], (2, 1))
    d["proofs"][0] |= {f"pairs.{name}": array for name, array in pairs.items()}

    def edit(text):
        document = json.loads(text)
        own = document["proofs"][0]
        own["pairs"] = {name: own.pop(f"pairs.{name}") for name in pairs}
        return json.dumps(document)

    d["json"] = edit
    verdict = check_certificate(write(claim(d), tmp_path / "a.certlip"))
    assert not verdict.accepted
    assert "pair -1, 0" in verdict.reason
    d["proofs"][0]["pairs.a"] = np.array([0, 2])
    assert check_certificate(write(d, tmp_path / "b.certlip")).accepted


def status_without_radius(d):
    """A right prediction that is called wrong, without a radius."""
    i = int(np.flatnonzero(d["samples"]["status"] == 0)[0])
    d["samples"]["status"][i], d["samples"]["radius_lower"][i] = 1, 0.0


def everything_at_zero(d):
    """At ε = 0 all samples would count whose radius is not negative."""
    d["eps"]["0"] = "0"
    claim(d)
    d["claims"]["certified_correct"]["0"] = len(d["samples"]["status"])


@pytest.mark.parametrize(
    ("change", "words"), [(status_without_radius, "agree"), (everything_at_zero, "claims: ")]
)
def test_claims_that_no_radius_gives_away(change, words, tmp_path):
    rng = np.random.default_rng(0)
    d = draft(rng, [affine(rng, 3, 4)])
    change(d)
    verdict = check_certificate(write(d, tmp_path / "a.certlip"))
    assert not verdict.accepted
    assert words in verdict.reason


def test_one_output_is_no_class(tmp_path):
    """Nothing else could win, so that any radius would hold."""
    rng = np.random.default_rng(0)
    d = draft(rng, [affine(rng, 2, 4)])
    block = d["blocks"][0][2]
    block["W"], block["b"] = block["W"][:1], block["b"][:1]
    for name in ("label", "predicted", "status"):
        d["samples"][name][:] = 0
    d["samples"]["radius_lower"][:] = 1.0
    verdict = check_certificate(write(claim(d), tmp_path / "a.certlip"))
    assert not verdict.accepted
    assert "agree" in verdict.reason


def test_substitution_counts_the_sum_with_a_large_bias():
    """W and U are tiny: all that is rounded is the sum with b_z."""
    rng = np.random.default_rng(0)
    pair = triangular(rng, 6, 3, 2)
    a = pair[0][2]
    a["U"] *= 1e-9
    a["W"] *= 1e-9
    a["b_z"] = 1e6 * np.abs(rng.normal(size=6))
    block = copy.copy(proven(pair, 3))
    block.reach = 1e30
    x, z = rng.normal(size=3), []
    for i in range(6):
        inner = [F(u) * F(v) for u, v in zip(a["U"][i], x, strict=True)]
        z.append(sum(inner, F(a["b_z"][i])) + sum((F(a["W"][i, j]) * z[j] for j in range(i)), F(0)))
    y, delta = enclose(block, x[None], np.array([[float(v) for v in z]]))
    readout = block.maps["G"].error() * np.linalg.norm([float(v) for v in z])
    sums = np.linalg.norm(np.abs(a["G"]) @ a["b_z"]) + np.linalg.norm(y[0])
    assert delta[0] >= 0.9999 * (2.0**-53 * sums + readout)
    truth = [
        sum(F(g) * v for g, v in zip(row, z, strict=True)) + F(b)
        for row, b in zip(a["G"], a["b_y"], strict=True)
    ]
    assert_encloses(y[0], delta[0], truth)
