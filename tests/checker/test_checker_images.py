"""What the checker encloses on images: convolutions, equilibria, windows, sorting; and what it refuses."""

from fractions import Fraction

import conv_nets
import numpy as np
import pytest
import torch
from checker_nets import equilibrium_terms
from exact import definite
from exact_maps import F, exact_map, norm_squared, proven, seeds
from hypothesis import given, settings

from certlip.blocks import Network
from certlip.checker import rigorous
from certlip.checker.blocks import Block
from certlip.checker.functions import enclose, move
from certlip.checker.reading import CertificateError
from certlip.checker.rigorous import UNIT, Ball
from certlip.lmi import prove
from certlip.solvers import Evaluator


@pytest.mark.parametrize("padding", ["circular", "zero"])
@pytest.mark.parametrize("seed", range(4))
def test_enclosures_of_convolutions_and_residuals_hold_exactly(seed, padding):
    rng = np.random.default_rng(seed)
    block = conv_nets.convolution(seed, padding=padding)
    own = proven(block, {"rule": "convolution", "lipschitz_upper": "100"})
    x = rng.normal(size=(2, block.in_width))
    y, delta = enclose(own, x)
    K, b = block.K.numpy(), np.repeat(block.b.numpy(), block.pixels)
    sides, circular = (block.height, block.width), padding == "circular"
    for i in range(2):
        truth = [v + F(c) for v, c in zip(exact_map(K, sides, circular, x[i]), b, strict=True)]
        off = norm_squared([F(a) - t for a, t in zip(y[i], truth, strict=True)])
        assert off <= F(delta[i]) ** 2
        assert delta[i] < 1e-12
    block = conv_nets.conv_residual(seed, padding=padding)
    proof = {"rule": "conv-residual", "lipschitz_upper": "1.1", "delta": "1e-6"}
    own = proven(block, proof)
    x = rng.normal(size=(2, block.in_width))
    y, delta = enclose(own, x)
    K, D = block.K.numpy(), np.repeat(block.D.numpy(), block.pixels)
    b = np.repeat(block.b.numpy(), block.pixels)
    columns = [exact_map(K, sides, circular, e) for e in np.eye(block.in_width)]
    for i in range(2):
        v = [t + F(c) for t, c in zip(exact_map(K, sides, circular, x[i]), b, strict=True)]
        s = [F(d) * max(t, Fraction(0)) for t, d in zip(v, D, strict=True)]
        back = [sum(p * q for p, q in zip(s, column, strict=True)) for column in columns]
        off = [F(a) - F(c) + 2 * t for a, c, t in zip(y[i], x[i], back, strict=True)]
        assert norm_squared(off) <= F(delta[i]) ** 2
        assert delta[i] < 1e-12


@pytest.mark.parametrize("noise", [0.0, 1e-8, 1e-3])
@pytest.mark.parametrize("seed", range(3))
def test_an_equilibrium_on_a_torus_is_enclosed_from_any_guess(seed, noise):
    block = conv_nets.conv_lben(seed, 3, 2, 2, 4, 5)
    network = Network([block])
    (found,) = prove(network).blocks
    proof = {"rule": found.rule, "condition": "10", "lipschitz_upper": str(found.lip)}
    proof |= {"lam": found.lam, "gam": found.gam, "mu_lower": str(found.mu)}
    own = proven(block, proof)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(5, block.in_width))
    truth, solution = Evaluator(network, tol=1e-14).block(0, torch.tensor(x))
    z = solution.z.numpy() + noise * rng.normal(size=solution.z.shape)
    y, delta = enclose(own, x, z)
    assert (np.linalg.norm(y - truth.numpy(), axis=1) <= delta + 1e-12).all()
    assert (delta < 1e-9 + 1e6 * noise).all()


def test_pooling_is_within_its_error():
    m = {"channels": 2, "height": 4, "width": 6, "window": 2}
    x = np.random.default_rng(0).normal(size=(3, 48)) * 10.0 ** np.arange(48).reshape(1, -1) % 7
    y, c = move("pooling", m, x)
    for row, out in zip(x, y, strict=True):
        image = row.reshape(2, 4, 6)
        truth = [
            sum(F(v) for v in image[k, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].ravel()) / 2
            for k in range(2)
            for i in range(2)
            for j in range(3)
        ]
        off = norm_squared([F(a) - t for a, t in zip(out, truth, strict=True)])
        assert off <= F(c) ** 2 * norm_squared([F(v) for v in row])


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_windows_by_their_definition(seed):
    rng = np.random.default_rng(seed)
    c, H, W = (int(n) for n in rng.integers(1, 5, 3))
    rows, columns, p, q = (int(n) for n in rng.integers(1, 4, 4))
    top, left = int(rng.integers(-rows * p + 1, H)), int(rng.integers(-columns * q + 1, W))
    m = {"channels": c, "height": H, "width": W, "top": top, "left": left, "rows": rows}
    m |= {"columns": columns, "row_step": p, "column_step": q}
    x = rng.normal(size=(2, c * H * W))
    y, error = move("window", m, x)
    y, image = y.reshape(2, c * p * q, rows, columns), x.reshape(2, c, H, W)
    assert error == 0.0
    for k in range(c):
        for a in range(p):
            for b in range(q):
                for i in range(rows):
                    for j in range(columns):
                        r, s = top + p * i + a, left + q * j + b
                        inside = 0 <= r < H and 0 <= s < W
                        wanted = image[:, k, r, s] if inside else 0.0
                        assert (y[:, (k * p + a) * q + b, i, j] == wanted).all()


def test_sorting_and_resizing():
    x = np.arange(12.0).reshape(1, 12)
    y, error = move("group-sort", {"d": 12, "group": 3, "stride": 2}, x)
    assert (y[0, :6] == [4, 5, 2, 3, 0, 1]).all()
    assert error == 0.0
    assert (move("resize", {"d": 12, "q": 3}, x)[0] == [[0, 1, 2]]).all()
    assert (move("resize", {"d": 12, "q": 14}, x)[0][0, 10:] == [10, 11, 0, 0]).all()


@pytest.mark.parametrize(
    ("kind", "meta", "width"),
    [
        ("resize", {"d": 5, "q": 2}, 6),
        ("group-sort", {"d": 6, "group": 4, "stride": 1}, 6),
        ("group-sort", {"d": 12, "group": 2, "stride": 3}, 6),
        ("pooling", {"channels": 1, "height": 3, "width": 2, "window": 2}, 6),
        ("pooling", {"channels": 2, "height": 2, "width": 2, "window": 2}, 6),
        ("convolution", {"height": 2, "width": 2, "padding": "zero"}, 6),
        ("convolution", {"height": 0, "width": 2, "padding": "zero"}, 8),
        ("convolution", {"height": 2, "width": 2, "padding": "mirror"}, 8),
    ],
)
def test_blocks_that_do_not_fit_are_refused(kind, meta, width):
    arrays = {"K": np.ones((2, 2, 1, 1)), "b": np.ones(2)} if kind == "convolution" else {}
    node = {"kind": kind, "meta": meta, "arrays": {name: name for name in arrays}}
    with pytest.raises((CertificateError, ValueError, KeyError)):
        Block(node, arrays, width)


def test_an_overflow_is_no_number():
    """Its error is not finite, whatever σ makes of it, and no comparison with it holds."""
    arrays = {"W": np.full((1, 2), 1e300), "b": np.zeros(1)}
    node = {"kind": "affine", "meta": {}, "arrays": {name: name for name in arrays}}
    for x in ([1e300, 1e300], [-1e300, -1e300], [1e300, -1e300]):
        with np.errstate(all="ignore"):
            _, delta = enclose(Block(node, arrays, 2), np.array([x]))
        assert not (delta < np.inf).any()


def test_a_ball_of_a_product_of_balls():
    rng = np.random.default_rng(0)
    S, R = rng.normal(size=(3, 2)), np.full((3, 2), 1e-3)
    P, r = Ball(S, R).gram()
    for _ in range(50):
        X = S + rng.uniform(-1, 1, S.shape) * R
        assert (np.abs(X @ X.T - P) <= r).all()
    assert not definite([[Fraction(0)]])


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_terms_of_an_equilibrium_on_a_torus(noise):
    """Each share of the bound, written out once more."""
    block = conv_nets.conv_lben(1, 3, 2, 2, 4, 5)
    (found,) = prove(Network([block])).blocks
    proof = {"rule": found.rule, "condition": "10", "lipschitz_upper": str(found.lip)}
    proof |= {"lam": found.lam, "gam": found.gam, "mu_lower": str(found.mu)}
    own, rng = proven(block, proof), np.random.default_rng(0)
    x = rng.normal(size=(6, block.in_width))
    _, solution = Evaluator(Network([block]), tol=1e-14).block(0, torch.tensor(x))
    z = solution.z.numpy() + noise * rng.normal(size=solution.z.shape)
    _, delta = enclose(own, x, z)
    terms = equilibrium_terms(own, x, z)
    assert (delta >= 0.9999 * terms).all()
    assert (delta <= 1.001 * terms).all()


def test_the_difference_of_two_rows_is_enclosed(monkeypatch):
    """1 + 0.999u rounds to 1; its square is off by 2u, more than one product."""
    seen = []
    true = rigorous.condition_10
    monkeypatch.setattr(rigorous, "condition_10", lambda *a: seen.append(a[2]) or true(*a))
    G = np.array([[1.0], [-0.999 * UNIT]])
    arrays = {"W": [[0.0]], "U": [[1.0]], "b_z": [0.0], "b_y": [0.0, 0.0]}
    stored = {name: np.array(value) for name, value in arrays.items()} | {"G": G}
    stored |= {"lam": np.ones(1), "a": np.array([0]), "j": np.array([1])}
    stored |= {"lip": np.array([2.0]), "lams": np.ones((1, 1))}
    node = {"kind": "equilibrium", "meta": {"sigma": [["relu", 1, {}]]}}
    node["arrays"] = {name: name for name in ("W", "U", "G", "b_z", "b_y")}
    proof = {"rule": "equilibrium", "condition": "10", "lipschitz_upper": "2", "mu_lower": "0.9"}
    proof |= {"lam": "lam", "gam": "lam"}
    proof["pairs"] = {"a": "a", "j": "j", "lipschitz_upper": "lip", "lam": "lams"}
    block = Block(node, stored, 1)
    block.prove(proof, stored)
    assert block.pairs == ((0, 1, 2.0),)
    GG = seen[-1]
    truth = (F(G[0, 0]) - F(G[1, 0])) ** 2
    assert abs(F(GG.S[0, 0, 0]) - truth) <= F(GG.R[0, 0, 0])
