"""Enclosures of numbers near the ends of the doubles, against exact rational arithmetic.

A bound such as γ|A||x| may underflow in one factor and be large in the other.
"""

from fractions import Fraction

import numpy as np
import pytest
from checker_nets import equilibrium
from test_checker_enclosures import F, assert_encloses, matvec, proven, relu, solve_exactly

from certlip.checker.blocks import Block
from certlip.checker.functions import enclose
from certlip.checker.rigorous import Ball

#: Powers of ten of weights and of inputs.
SCALES = [(-310, 300), (-323, 307), (-300, 300), (300, -310), (150, -320), (-160, 160), (-320, -3)]


def read(kind, arrays, width, meta=None):
    node = {"kind": kind, "meta": meta or {}, "arrays": {name: name for name in arrays}}
    return Block(node, arrays, width)


def finite(y, delta):
    return np.isfinite(y).all() and np.isfinite(delta)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("low", "high"), SCALES)
def test_affine(low, high, seed):
    rng = np.random.default_rng(seed)
    W, x = rng.normal(size=(3, 4)) * 10.0**low, rng.normal(size=(1, 4)) * 10.0**high
    block = read("affine", {"W": W, "b": np.zeros(3)}, 4)
    with np.errstate(all="ignore"):
        y, delta = enclose(block, x)
    if finite(y[0], delta[0]):
        assert_encloses(y[0], delta[0], matvec(W, [F(v) for v in x[0]]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("low", "high"), SCALES)
def test_residual(low, high, seed):
    """D = 1/‖W‖² may be denormal, or as large as doubles are."""
    rng, low = np.random.default_rng(seed), max(low, -300)
    W = rng.normal(size=(3, 2)) * 10.0 ** (low / 2)
    D = np.full(2, 0.1 / np.linalg.norm(W * 10.0 ** (-low / 2), 2) ** 2) * 10.0**-low
    x = rng.normal(size=(1, 3)) * 10.0 ** (high / 2)
    meta = {"sigma": [["relu", 2, {}]]}
    block = read("residual", {"W": W, "D": D, "b": np.zeros(2)}, 3, meta)
    with np.errstate(all="ignore"):
        y, delta = enclose(block, x)
    if finite(y[0], delta[0]):
        exact = [F(v) for v in x[0]]
        s = [F(d) * v for d, v in zip(D, relu(matvec(W.T, exact)), strict=True)]
        truth = [v - 2 * q for v, q in zip(exact, matvec(W, s), strict=True)]
        assert_encloses(y[0], delta[0], truth)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("low", "high"), SCALES)
def test_equilibrium(low, high, seed):
    rng = np.random.default_rng(seed)
    block = proven(equilibrium(rng, 3, 2, 2, sigma=[["identity", 3, {}]]), 2)
    U = block.arrays["U"] = block.maps["U"].K[..., 0, 0] * 10.0**low
    block.maps["U"].K = U[..., None, None]
    a, x = block.arrays, rng.normal(size=2) * 10.0**high
    z = solve_exactly(a["W"], matvec(a["U"], [F(v) for v in x], a["b_z"]))
    guess = np.array([float(v) for v in z])
    with np.errstate(all="ignore"):
        y, delta = enclose(block, x[None], guess[None])
    if finite(y[0], delta[0]):
        assert_encloses(y[0], delta[0], matvec(a["G"], z, a["b_y"]))


@pytest.mark.parametrize(("low", "high"), SCALES)
def test_gram_of_a_ball(low, high):
    rng = np.random.default_rng(0)
    A = np.concatenate([rng.normal(size=(1, 3)) * 10.0**low, rng.normal(size=(1, 3)) * 10.0**high])
    with np.errstate(all="ignore"):
        S, R = Ball(A, np.zeros_like(A)).gram()
    for i in range(2):
        for j in range(2):
            truth = sum((F(p) * F(q) for p, q in zip(A[i], A[j], strict=True)), Fraction(0))
            if np.isfinite(S[i, j]) and np.isfinite(R[i, j]):
                assert abs(F(S[i, j]) - truth) <= F(R[i, j])
