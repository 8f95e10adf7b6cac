"""Local enclosures and radii against exact rational arithmetic and closed forms."""

import copy
from fractions import Fraction

import numpy as np
import pytest
from checker_nets import (
    affine,
    deep,
    equilibrium,
    equilibrium_terms,
    forward,
    normalize,
    residual,
    triangular,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.checker.blocks import Block
from certlip.checker.functions import activate, enclose, read_sigma
from certlip.checker.reading import Rejected
from certlip.checker.rigorous import UNIT
from certlip.checker.samples import SQRT2, pair_bounds, radii

seeds = st.integers(0, 2**32 - 1)


def proven(pair, width):
    """The block as the checker reads and proves it, from a pair of checker_nets."""
    (kind, meta, arrays), proof = pair
    stored = {**arrays, **{k: v for k, v in proof.items() if isinstance(v, np.ndarray)}}
    node = {"kind": kind, "meta": meta, "arrays": {name: name for name in arrays}}
    block = Block(node, stored, width)
    block.prove({k: v if isinstance(v, str) else k for k, v in proof.items()}, stored)
    return block


def weakened(block, mu):
    """The block with another margin, as if that had been proven."""
    other = copy.copy(block)
    other.reach = block.slope / mu
    return other


def F(x):
    return Fraction(float(x))


def matvec(W, x, b=None):
    zero = [Fraction(0)] * len(W) if b is None else [F(v) for v in b]
    return [
        sum((F(w) * v for w, v in zip(r, x, strict=True)), c) for r, c in zip(W, zero, strict=True)
    ]


def relu(v):
    return [max(x, Fraction(0)) for x in v]


def distance_squared(guess, truth):
    return sum((F(g) - t) ** 2 for g, t in zip(guess, truth, strict=True))


def assert_encloses(y, delta, truth, loose=None):
    assert distance_squared(y, truth) <= F(delta) ** 2
    if loose is not None:
        assert delta <= loose


@settings(deadline=None, max_examples=60)
@given(
    seeds, st.sampled_from(["normalize", "affine", "residual"]), st.sampled_from([1, 1e8, 1e-90])
)
def test_explicit_blocks(seed, kind, scale):
    rng = np.random.default_rng(seed)
    d = 6
    pair = {
        "normalize": lambda: normalize(rng, d),
        "affine": lambda: affine(rng, 4, d),
        "residual": lambda: residual(rng, d, 5),
    }[kind]()
    x = rng.normal(size=(3, d)) * scale
    block = proven(pair, d)
    y, delta = enclose(block, x)
    a = pair[0][2]
    for i in range(3):
        exact = [F(v) for v in x[i]]
        if kind == "normalize":
            truth = [(v - F(m)) / F(s) for v, m, s in zip(exact, a["mean"], a["std"], strict=True)]
        elif kind == "affine":
            truth = matvec(a["W"], exact, a["b"])
        else:
            s = relu(matvec(a["W"].T, exact, a["b"]))
            p = matvec(a["W"], [F(D) * v for D, v in zip(a["D"], s, strict=True)])
            truth = [v - 2 * q for v, q in zip(exact, p, strict=True)]
        assert_encloses(y[i], delta[i], truth, 1e-13 * max(scale, 10))


@pytest.mark.parametrize("name", ["relu", "identity", "leaky_relu", "tanh", "elu"])
def test_activations_pass_a_radius_on(name):
    parameters = {"leaky_relu": {"slope": 0.3}, "elu": {"alpha": 0.7}}.get(name, {})
    sigma = read_sigma([["relu", 2, {}], [name, 3, parameters]], 5)
    v = np.linspace(-3, 3, 20).reshape(4, 5)
    value, error = activate(sigma, v)
    for shift in (-0.1, 0.05, 0.1):
        moved, _ = activate(sigma, v + shift)
        assert (np.abs(moved - value) <= error + 0.1 + 1e-15).all()
    assert (error <= 1e-13).all()
    assert (error[:, 2:].max() > 1e-18) == (name in ("leaky_relu", "tanh", "elu"))


def test_leaky_relu_exactly():
    sigma = read_sigma([["leaky_relu", 50, {"slope": 0.3}]], 50)
    v = -np.random.default_rng(0).lognormal(0, 20, 50)
    value, error = activate(sigma, v)
    for x, y, e in zip(v, value, error, strict=True):
        assert abs(F(x) * F(0.3) - F(y)) <= F(e) <= 1.01 * abs(y) * UNIT + 1e-200


@settings(deadline=None, max_examples=60)
@given(
    st.floats(-5.0, 0.95),
    st.floats(0.1, 5.0),
    st.floats(0.1, 5.0),
    st.floats(-3, 3),
    st.floats(-12, 0),
)
def test_scalar_equilibrium_in_closed_form(w, u, g, x, exponent):
    """z = relu(wz + ux + ½) = max(ux + ½, 0)/(1 − w); L = gu/(1 − w) is tight."""
    true = g * u / (1 - w)
    lam = np.array([true * (1 - w) / u**2])
    arrays = {"W": [[w]], "U": [[u]], "G": [[g]], "b_z": [0.5], "b_y": [0.25]}
    arrays = {name: np.array(value) for name, value in arrays.items()}
    block = ("equilibrium", {"sigma": [["relu", 1, {}]]}, arrays)
    proof = {"rule": "equilibrium", "condition": "10", "lam": lam, "gam": np.ones(1)}
    proof["mu_lower"] = repr((1 - w) * (1 - 1e-12))
    with pytest.raises(Rejected, match="not proven"):
        proven((block, {**proof, "lipschitz_upper": repr(true * (1 - 1e-9))}), 1)
    block = proven((block, {**proof, "lipschitz_upper": repr(true * (1 + 1e-5))}), 1)
    z = max(F(u) * F(x) + Fraction(1, 2), Fraction(0)) / (1 - F(w))
    guess = float(z) + 10**exponent
    y, delta = enclose(block, np.array([[x]]), np.array([[guess]]))
    assert_encloses(y[0], delta[0], [F(g) * z + Fraction(1, 4)])
    bound = g * (1 + abs(w) / (1 - w)) * max(1, 1 - w) * 10**exponent  # |e| ≤ max(1, 1 − w)|ẑ − z|
    assert delta[0] <= bound * 1.001 + 1e-11 * (1 + abs(guess)) * g


def solve_exactly(W, c):
    """(I − W)⁻¹ c by Gaussian elimination in rationals."""
    n = len(W)
    rows = [[(i == j) - F(W[i, j]) for j in range(n)] + [c[i]] for i in range(n)]
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for i in range(n):
            if i != k:
                rows[i] = [x - rows[i][k] * y for x, y in zip(rows[i], rows[k], strict=True)]
    return [row[n] for row in rows]


@settings(deadline=None, max_examples=30)
@given(seeds, st.floats(-16, 0), st.booleans())
def test_equilibrium_of_the_identity(seed, exponent, lower):
    """σ = identity makes z* rational; any guess is enclosed, with either bound."""
    rng = np.random.default_rng(seed)
    make = triangular if lower else equilibrium
    pair = make(rng, 5, 3, 2, sigma=[["identity", 5, {}]])
    block = proven(pair, 3)
    a, x = pair[0][2], rng.normal(size=3)
    z = solve_exactly(a["W"], matvec(a["U"], [F(v) for v in x], a["b_z"]))
    guess = np.array([float(v) for v in z]) + rng.normal(size=5) * 10**exponent
    y, delta = enclose(block, x[None], guess[None])
    assert_encloses(y[0], delta[0], matvec(a["G"], z, a["b_y"]), formula(a, block, x, guess))


def formula(a, block, x, guess):
    """The bound of the contract in plain doubles, with 20 units of rounding per entry, times 1.5."""
    size = {name: np.abs(array) for name, array in a.items()}
    e = np.abs(guess - (a["W"] @ guess + a["U"] @ x + a["b_z"]))
    t = e + 20 * 2.0**-53 * (size["W"] @ np.abs(guess) + size["U"] @ np.abs(x) + size["b_z"] + 1)
    own = 20 * 2.0**-53 * (size["G"] @ np.abs(guess) + size["b_y"])
    far = np.linalg.norm(np.sqrt(block.gam) * (size["W"] @ t))
    near = np.linalg.norm(size["G"] @ t + own)
    return 1.5 * (near + block.slope * far / block.mu)


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 9), st.floats(-16, 0))
def test_substitution_bound_of_a_triangular_relu(seed, n, exponent):
    rng = np.random.default_rng(seed)
    pair = triangular(rng, n + 3, 3, 2)
    block = proven(pair, 3)
    a, x = pair[0][2], rng.normal(size=3)
    z, c = [], matvec(a["U"], [F(v) for v in x], a["b_z"])
    for i in range(n + 3):
        z += relu([c[i] + sum((F(a["W"][i, j]) * z[j] for j in range(i)), Fraction(0))])
    guess = np.array([float(v) for v in z]) + rng.normal(size=n + 3) * 10**exponent
    truth = matvec(a["G"], z, a["b_y"])
    y, delta = enclose(block, x[None], guess[None])
    assert_encloses(y[0], delta[0], truth)
    # with a useless μ the substitution bound is what remains, and it is enough
    y, weak = enclose(weakened(block, 1e-30), x[None], guess[None])
    assert_encloses(y[0], weak[0], truth)
    assert delta[0] <= weak[0] <= 1e3 * 10**exponent + 1e-11
    # without the exact zeros there is no such bound
    a["W"][0, 0] = 5e-324
    _, none = enclose(weakened(block, 1e-30), x[None], guess[None])
    assert none[0] > 1e8 * weak[0]


def test_substitution_survives_overflow():
    n = 300
    pair = triangular(np.random.default_rng(0), n, 3, 2)
    block = proven(pair, 3)
    strong = weakened(block, 1e-3)
    block.arrays["W"][:] = np.tril(np.full((n, n), 1e3), -1)
    with np.errstate(over="raise", invalid="raise"):
        _, delta = enclose(strong, np.ones((2, 3)), np.zeros((2, n)))
    assert np.isfinite(delta).all()


def test_many_samples_give_the_same_as_one():
    d = deep()
    x = d["samples"]["x"] / 255
    for k, (own, proof) in enumerate(zip(d["blocks"], d["proofs"], strict=True)):
        block = proven((tuple(own), proof), x.shape[1])
        guess = d["samples"]["z"].get(str(k))
        y, delta = enclose(block, x, guess)
        for i in (0, 17):
            one = None if guess is None else guess[i : i + 1]
            single, bound = enclose(block, x[i : i + 1], one)
            np.testing.assert_allclose(single[0], y[i], atol=1e-12)
            np.testing.assert_allclose(bound[0], delta[i], rtol=0.5)
        x = y


# --- every term of the bounds, written out once more ---------------------------------------------


def g(k):
    return k * UNIT / (1 - k * UNIT)


def assert_close(delta, formula, noise=0.0):
    """`noise`: the part of the formula that is rounding itself, another one in another order."""
    assert (delta >= (0.9999 - noise) * formula).all()
    assert (delta <= (1.5 + noise) * formula).all()


@pytest.mark.parametrize("part", ["all", "b", "x", "W"])
def test_terms_of_a_residual_block(part):
    rng = np.random.default_rng(7)
    pair = residual(rng, 6, 5)
    pair[0][2]["b"] *= part != "W"
    block = proven(pair, 6)
    W, D, b = (block.arrays[name] for name in ("W", "D", "b"))
    x = rng.normal(size=(4, 6)) * (1e-3 if part == "b" else 1e6 if part == "x" else 1)
    if part == "W":
        x = x - (x @ W) @ np.linalg.pinv(W)  # Wᵀx = 0: only the first radius is left
    y, delta = enclose(block, x)
    v, root = x @ W + b, np.sqrt(D)
    s = np.maximum(v, 0)
    own = np.linalg.norm(root * UNIT * (np.abs(v) + s), axis=1)
    there = g(2 * 2 + 4) * size(root[:, None] * np.abs(W.T)) * np.linalg.norm(x, axis=1)
    back = g(2 * 2 + 4) * size(np.abs(W) * root) * np.linalg.norm(root * s, axis=1)
    assert_close(delta, 2 * (own + there + back) + UNIT * np.linalg.norm(y, axis=1))


def size(A):
    return min(np.sqrt(A.sum(axis=0).max() * A.sum(axis=1).max()), np.linalg.norm(A))


@pytest.mark.parametrize("off", [0.0, 1e-15, 1e-3])
@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_terms_of_an_equilibrium(off, scale):
    """At an exact state rounding is everything; off it, the residual is."""
    rng = np.random.default_rng(8)
    pair = equilibrium(rng, 9, 4, 3)
    pair[1]["gam"] = pair[1]["gam"] * rng.uniform(0.9, 1.1, 9)
    pair[1]["mu_lower"] = "0.01"
    pair[0][2]["b_z"] *= scale
    pair[0][2]["b_y"] *= scale
    block = proven(pair, 4)
    x = rng.normal(size=(5, 4))
    _, states = forward([pair[0]], x)
    z = states["0"] + off * rng.normal(size=(5, 9))
    _, delta = enclose(block, x, z)
    assert_close(delta, equilibrium_terms(block, x, z))
    e = np.linalg.norm(z - states["0"], axis=1)
    assert (delta <= 1e3 * e * block.slope + 1e-9).all()


@pytest.mark.parametrize("off", [0.0, 1e-3])
def test_terms_of_the_substitution(off):
    """s = (I − |W|)⁻¹ t, also where every row is a block of its own."""
    rng = np.random.default_rng(9)
    pair = triangular(rng, 8, 4, 3)
    pair[0][2]["W"][:] = np.tril(rng.normal(size=(8, 8)), -1)
    pair[0][2]["W"][3:6, 3:6] = 0.0
    W = pair[0][2]["W"] * (0.9 / np.linalg.norm(pair[0][2]["W"], 2))
    pair[0][2]["W"][:] = W
    pair[1]["lipschitz_upper"], pair[1]["mu_lower"] = "1000", "0.01"
    block = proven(pair, 4)
    U, G, b_z = (block.arrays[name] for name in ("U", "G", "b_z"))
    x = rng.normal(size=(5, 4))
    z = np.zeros((5, 8))
    for i in range(8):
        z[:, i] = np.maximum(z @ W[i] + x @ U[i] + b_z[i], 0)
    z += off * rng.normal(size=z.shape)
    _, delta = enclose(weakened(block, 1e-30), x, z)
    a = z @ W.T + x @ U.T
    e = np.abs(z - np.maximum(a + b_z, 0))
    r = g(8) * (np.abs(z) @ np.abs(W).T + np.abs(x) @ np.abs(U).T)  # √8 and √4 are at least 2
    t = e + r + UNIT * (np.abs(a) + np.abs(a + b_z) + e)
    s = np.linalg.solve(np.eye(8) - np.abs(W), t.T).T
    y = z @ G.T + block.arrays["b_y"]
    read = block.maps["G"].error() * np.linalg.norm(z, axis=1) + UNIT * np.linalg.norm(y, axis=1)
    terms = np.linalg.norm(s @ np.abs(G).T, axis=1) + read
    assert_close(delta, terms, 0.0 if off else 0.3)


# --- radii --------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seeds, st.sampled_from([0.0, 1e-12, 0.1]))
def test_radii_are_strictly_below_the_exact_quotient(seed, error):
    rng = np.random.default_rng(seed)
    y, bounds = rng.normal(size=(4, 3)), rng.uniform(0.5, 2, (3, 3))
    if seed % 2:
        y, bounds = np.round(y * 4) / 4, np.full((3, 3), 2.0)  # exact quotients, and ties
    predicted = y.argmax(axis=1)
    R = radii(y, np.full(4, error), bounds, predicted)
    for i, a in enumerate(predicted):
        for j in set(range(3)) - {a}:
            margin = F(y[i, a]) - F(y[i, j]) - F(np.sqrt(2)) * F(error)
            assert F(R[i]) < margin / F(bounds[a, j])
        others = [j for j in range(3) if j != a]
        best = ((y[i, a] - y[i, others] - SQRT2 * error) / bounds[a, others]).min()
        np.testing.assert_allclose(R[i], best, rtol=1e-13, atol=1e-14)


def test_a_nan_or_an_infinite_error_gives_no_radius():
    y, bounds = np.array([[1.0, np.nan, 0.0], [2.0, 1.0, 0.0]]), np.ones((3, 3))
    with np.errstate(invalid="ignore"):
        R = radii(y, np.array([0.0, np.inf]), bounds, np.array([0, 0]))
    assert not (R > 0.0).any()


def test_pair_bounds_use_the_readout():
    rng = np.random.default_rng(2)
    first, last = proven(affine(rng, 5, 7), 7), proven(affine(rng, 4, 5), 5)
    bounds, W = pair_bounds([first, last]), last.arrays["W"]
    for a in range(4):
        for j in set(range(4)) - {a}:
            exact = sum((F(p) - F(q)) ** 2 for p, q in zip(W[a], W[j], strict=True))
            general = 2 * (F(first.lip) * F(last.lip)) ** 2
            truth = min(general, F(first.lip) ** 2 * exact)
            assert truth <= F(bounds[a, j]) ** 2 <= truth * (1 + Fraction(1, 10**13))
    only = pair_bounds([last])
    np.testing.assert_allclose(only[0, 1], np.linalg.norm(W[0] - W[1]), rtol=1e-13)


def test_perturbed_inputs_stay_within_the_certified_bounds():
    """The Lipschitz bounds themselves, by sampling: an equilibrium with mixed activations."""
    rng = np.random.default_rng(5)
    sigma = [["relu", 4, {}], ["tanh", 4, {}], ["elu", 4, {"alpha": 0.5}]]
    pair = equilibrium(rng, 12, 6, 4, sigma=sigma)
    block = proven(pair, 6)
    x = rng.normal(size=(200, 6))
    y, _ = forward([pair[0]], x)
    slopes = np.linalg.norm(y[:100] - y[100:], axis=1) / np.linalg.norm(x[:100] - x[100:], axis=1)
    assert slopes.max() <= block.lip
