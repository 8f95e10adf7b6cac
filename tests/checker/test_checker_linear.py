"""Convolutions of the checker against exact arithmetic: table, products, spectra, adjoint."""

from fractions import Fraction

import conv_nets
import numpy as np
import pytest
import torch
from checker_nets import equilibrium_terms
from exact import definite
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import Network
from certlip.checker import rigorous
from certlip.checker.blocks import Block
from certlip.checker.functions import enclose, move
from certlip.checker.linear import Linear, roots
from certlip.checker.reading import CertificateError
from certlip.checker.rigorous import UNIT, Ball, condition_3, condition_10, condition_residual
from certlip.lmi import prove
from certlip.solvers import Evaluator

seeds = st.integers(0, 2**32 - 1)
PADDINGS = [True, False]


def F(x):
    return Fraction(float(x))


def exact_map(K, sides, circular, x):
    """K ∗ x of one image in rationals, by its definition."""
    (o, i, kh, kw), (H, W) = K.shape, sides
    a, b = (kh - 1) // 2, (kw - 1) // 2
    x = [[[F(v) for v in row] for row in channel] for channel in x.reshape(i, H, W)]
    y = []
    for k in range(o):
        for p in range(H):
            for q in range(W):
                total = Fraction(0)
                for c in range(i):
                    for s in range(kh):
                        for t in range(kw):
                            r, u = p + s - a, q + t - b
                            if circular or (0 <= r < H and 0 <= u < W):
                                total += F(K[k, c, s, t]) * x[c][r % H][u % W]
                y.append(total)
    return y


def matrix(map_):
    """The dense matrix, column by column."""
    width = map_.K.shape[1] * map_.pixels
    return np.stack([map_(e[None])[0] for e in np.eye(width)], axis=1)


def norm_squared(v):
    return sum(e * e for e in v)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 12, 30, 99, 1024, 1089])
def test_roots_of_unity(n):
    """|z| = 1, z_k z_l = z_{k+l}, the right quadrant; exact zeros, and no library to trust."""
    cos, sin = roots(n)
    angle = 2 * np.pi * np.arange(n) / n
    np.testing.assert_allclose([cos, sin], [np.cos(angle), np.sin(angle)], atol=3e-15)
    tight = Fraction(5, 2**53)
    for k in range(0, n, max(1, n // 7)):
        for j in range(0, n, max(1, n // 5)):
            c, s, d, t = F(cos[k]), F(sin[k]), F(cos[j]), F(sin[j])
            m = (j + k) % n
            assert abs(c * d - s * t - F(cos[m])) <= tight
            assert abs(c * t + s * d - F(sin[m])) <= tight
        assert (cos[k] == 0.0) == (4 * k in (n, 3 * n))
        assert (sin[k] == 0.0) == (2 * k % n == 0)


def test_roots_are_within_two_units():
    """Against 60 digits of π and a series of its own."""
    pi = Fraction(3141592653589793238462643383279502884197169399375105820974944, 10**60)
    for n in (7, 24, 33):
        cos, sin = roots(n)
        for k in range(n):
            x = 2 * pi * k / n
            terms, term = [], Fraction(1)
            for j in range(110):
                terms.append(term)
                term = term * x / (j + 1)
            for value, first in ((cos[k], 0), (sin[k], 1)):
                truth = sum((-1) ** (j // 2) * terms[j] for j in range(first, 110, 2))
                allowed = 2 * Fraction(UNIT) * abs(F(value)) + Fraction(1, 10**55)
                assert abs(F(value) - truth) <= allowed


@settings(deadline=None, max_examples=60)
@given(seeds, st.sampled_from(PADDINGS), st.integers(1, 3), st.integers(1, 3), st.integers(-40, 40))
def test_products_are_within_their_error(seed, circular, kh, kw, scale):
    rng = np.random.default_rng(seed)
    sides = (int(rng.integers(kh, 5)), int(rng.integers(kw, 5)))
    K = rng.normal(size=(2, 2, kh, kw)) * 2.0**scale
    K[0] = np.round(K[0], 1) * 1e8  # cancellation
    x = rng.normal(size=(1, 2 * sides[0] * sides[1]))
    map_ = Linear(K, sides, circular)
    left, right = rng.uniform(0.1, 10, 2), rng.uniform(0.1, 10, 2)
    for f in (map_, map_.adjoint()):
        v, truth = f(x)[0], None
        if f is map_:
            truth = exact_map(K, sides, circular, x[0])
        else:
            rows = [exact_map(K, sides, circular, e) for e in np.eye(x.shape[1])]
            truth = [sum(F(x[0, j]) * r[j] for j in range(len(r))) for r in rows]
        pixels = sides[0] * sides[1]
        off = [(F(a) - t) * F(w) for a, t, w in zip(v, truth, np.repeat(left, pixels), strict=True)]
        size = sum((F(a) / F(w)) ** 2 for a, w in zip(x[0], np.repeat(right, pixels), strict=True))
        bound = F(f.error(left, right)) ** 2 * size
        assert norm_squared(off) <= bound
        assert f.error() <= 40 * UNIT * np.abs(K).sum()


@pytest.mark.parametrize("circular", PADDINGS)
def test_the_adjoint_is_the_transpose(circular):
    rng = np.random.default_rng(0)
    for taps in ((1, 1), (2, 3), (3, 2), (4, 4)):
        map_ = Linear(rng.normal(size=(3, 2, *taps)), (4, 5), circular)
        np.testing.assert_allclose(matrix(map_.adjoint()), matrix(map_).T, atol=1e-14)


@pytest.mark.parametrize("circular", PADDINGS)
@pytest.mark.parametrize("sides", [(4, 5), (5, 4), (1, 6), (6, 1), (3, 3), (2, 2)])
def test_spectra_hold_every_singular_value(circular, sides):
    """On the torus the blocks have the singular values of the matrix; with zeros theirs are larger."""
    rng = np.random.default_rng(1)
    taps = (min(3, sides[0]), min(2, sides[1]))
    map_ = Linear(rng.normal(size=(2, 3, *taps)), sides, circular)
    dense = np.linalg.svd(matrix(map_), compute_uv=False)
    blocks = np.concatenate([S for S, _ in map_.spectra(3)])
    found = np.linalg.svd(blocks, compute_uv=False)
    if circular:
        for value in dense:
            assert np.abs(found - value).min() < 1e-12
        assert abs(found.max() - dense.max()) < 1e-12
    assert found.max() >= dense.max() * (1 - 1e-13)
    for S, R in map_.spectra(2):
        assert S.shape == R.shape
        assert (40 * UNIT * np.abs(map_.K).sum() >= R).all()


@pytest.mark.parametrize("n", [3, 4])
def test_spectra_contain_the_exact_ones(n):
    """At angles of 0°, 90° and 180° (n = 4), or with cos 120° = −½ and sin² = ¾ (n = 3)."""
    K = np.random.default_rng(n).normal(size=(2, 2, 1, n)) * 10.0 ** np.arange(n)
    ((S, R),) = Linear(K, (1, n)).spectra(9)
    for f in range(len(S)):
        for o in range(2):
            for i in range(2):
                A = Fraction(0)
                B = Fraction(0)  # in units of sin 60° if n = 3
                for t in range(n):
                    k = f * (t - (n - 1) // 2) % n
                    c = {3: [1, Fraction(-1, 2), Fraction(-1, 2)], 4: [1, 0, -1, 0]}[n][k]
                    s = {3: [0, 1, -1], 4: [0, 1, 0, -1]}[n][k]
                    A, B = A + F(K[o, i, 0, t]) * c, B + F(K[o, i, 0, t]) * s
                assert abs(F(S[f, o, i]) - A) <= F(R[f, o, i])
                assert abs(F(S[f, o, i]) - F(S[f, 2 + o, 2 + i])) == 0
                low, high = (F(S[f, 2 + o, i]) + d * F(R[f, 2 + o, i]) for d in (-1, 1))
                unit = Fraction(3, 4) if n == 3 else Fraction(1)
                signed = B * abs(B) * unit  # compare squares with their signs
                assert low * abs(low) <= signed <= high * abs(high)


def test_the_table_counts_as_an_error_of_the_kernel():
    """Two products with numbers that are off by 2u: at least 5u of each |K[t] cos|."""
    K = np.array([[[[0.0, 3.0]]]])
    ((S, R),) = Linear(K, (1, 7)).spectra(9)
    assert (4.9 * UNIT * np.abs(S) <= R).all()


def test_zero_padding_needs_the_larger_torus():
    """x[p] − x[p + 1] on three pixels: norm 2cos(π/7) = 1.802, but √3 on the torus of three."""
    K = np.array([[[[0.0, 1.0, -1.0]]]])
    for circular, low, high in ((False, 1.8019, 2.1), (True, 1.7320, 1.7321)):
        found = max(S.norm_upper() for S in Linear(K, (1, 3), circular).spectra(9))
        assert low < found < high


def test_stacks_of_several_maps_are_at_the_same_frequencies():
    rng = np.random.default_rng(0)
    W, U = (Linear(rng.normal(size=(30, c, 2, 2)), (12, 12)) for c in (30, 3))
    stacks = list(zip(W.spectra(), U.spectra(), strict=True))
    assert len(stacks) > 0
    for A, B in stacks:
        assert len(A.S) == len(B.S)
    assert sum(len(A.S) for A, _ in stacks) == 12 * 7


@settings(deadline=None, max_examples=40)
@given(seeds, st.floats(-14, -1), st.booleans())
def test_an_accepted_residual_condition_on_images_is_true(seed, exponent, above):
    """One channel, one tap of two pixels: the blocks are numbers whose squares are rational."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=2)
    K = np.array([[[[a, b]]]])
    largest = max((F(a) + F(b)) ** 2, (F(a) - F(b)) ** 2)
    D = np.array([float(1 / largest) * (1 + (1 if above else -1) * 10**exponent)])
    holds = all(condition_residual(A, D, 0.0) for A in Linear(K, (1, 2)).spectra(9))
    assert not holds or F(D[0]) * largest <= 1
    assert holds or above or exponent < -12


def dense_conditions(block, lam, lip, mu):
    """(10) and (3) of the matrices of all pixels, by their smallest eigenvalues."""
    sides = (block.height, block.width)
    W, U, G = (matrix(Linear(k.numpy(), sides)) for k in (block.W, block.U, block.G))
    lam = np.repeat(lam, sides[0] * sides[1])
    H = lam[:, None] * W
    M = 2 * np.diag(lam) - H - H.T
    lam_U = lam[:, None] * U
    ten = M - G.T @ G / lip - lam_U @ lam_U.T / lip
    three = M - 2 * mu * np.diag(lam)
    return np.linalg.eigvalsh(ten)[0], np.linalg.eigvalsh(three)[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sides", [(2, 3), (3, 2), (4, 4)])
def test_conditions_per_frequency_are_those_of_the_matrices(seed, sides):
    block = conv_nets.conv_lben(seed, 2, 1, 2, *sides)
    lam = 1.0 / block.origin.vectors["psi"].numpy()
    W, U, G = (Linear(k.numpy(), sides) for k in (block.W, block.U, block.G))
    for lip in (1.5, 1.2, 0.9, 0.5):
        for mu in (0.01, 0.1, 0.5, 1.5):
            ten, three = dense_conditions(block, lam, lip, mu)
            for least, holds in (
                (
                    ten,
                    [
                        condition_10(w, u.gram(), g.T.gram(), lam, lip)
                        for w, u, g in zip(W.spectra(), U.spectra(), G.spectra(), strict=True)
                    ],
                ),
                (three, [condition_3(w, lam, mu) for w in W.spectra()]),
            ):
                assert abs(least) < 1e-9 or all(holds) == (least > 0)


def proven(block, proof):
    """A frozen block of the library as the checker reads and proves it."""
    arrays = {name: tensor.numpy() for name, tensor in block.arrays().items()}
    stored = arrays | {k: v for k, v in proof.items() if isinstance(v, np.ndarray)}
    node = {"kind": block.kind, "meta": block.meta(), "arrays": {name: name for name in arrays}}
    own = Block(node, stored, block.in_width)
    own.prove({k: k if isinstance(v, np.ndarray) else v for k, v in proof.items()}, stored)
    return own


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


# --- numbers that move --------------------------------------------------------------------------


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
