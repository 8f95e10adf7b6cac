"""Attacks on the enclosure by frequency: every step of a transform, its roots and its norms count."""

import numpy as np
import pytest
import torch

from certlip.blocks.dense_form import kernel_matrix
from certlip.certification.enclosure import by_frequency
from certlip.certification.enclosure.by_frequency import ByFrequency
from certlip.certification.enclosure.convolution import Direct
from certlip.certification.enclosure.near import Near
from certlip.linalg import planes
from certlip.linalg.rigorous import frequencies
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.roots import roots_of_unity
from certlip.linalg.torus import Torus

# --- transforms -----------------------------------------------------------------------------------

SIDES = [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (4, 4), (5, 3)]


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("adjoint", [False, True])
def test_each_step_of_a_transform_is_no_longer_than_its_norm(sides, adjoint):
    K = np.random.default_rng(0).standard_normal((5, 1, *sides))
    by = ByFrequency(K, *sides, adjoint=adjoint)
    frequencies = (sides[0] // 2 + 1) * sides[1]
    for step, shape in ((by.forward, (*sides, 1)), (by.back, (frequencies, 2, 1))):
        A = matrix_of(step.f, shape)
        true = np.linalg.norm(A, 2)
        assert true * (1 - 1e-12) <= step.norm <= true * 1.5
        # any order of the sums of a product with |A|, which is at least one with both of its factors
        terms = max(*sides, 2)
        assert step.blur >= terms * 2.0**-53 * np.linalg.norm(np.abs(A), 2)
    units = (1, 5) if adjoint else (5, 1)
    blocks = matrix_of(by.blocks.f, (frequencies, 2, units[1]))
    assert by.blocks.norm >= np.linalg.norm(blocks, 2)
    assert by.blocks.blur >= 2 * units[1] * 2.0**-53 * np.linalg.norm(np.abs(blocks), 2)


def matrix_of(f, shape):
    """The matrix of a linear map of arrays (…, batch)."""
    eye = torch.eye(int(np.prod(shape)), dtype=torch.float64)
    return f(eye.reshape(*shape, -1)).reshape(-1, len(eye)).numpy()


def coarse(n):
    """Roots of unity that are off by 1e-3, and say so."""
    rng = np.random.default_rng(n)
    return tuple(
        Ball(part.mid + 1e-3 * rng.choice([-1, 1], n), np.full(n, 1.001e-3))
        for part in roots_of_unity(n)
    )


@pytest.mark.parametrize("where", ["rows", "columns", "kernel"])
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("sides", SIDES)
def test_a_transform_trusts_its_roots_no_more_than_their_radius(sides, adjoint, where, monkeypatch):
    H, W = sides
    rough = {"rows": (H,), "columns": (W,), "kernel": (H, W)}[where]
    monkeypatch.setattr(
        frequencies if where == "kernel" else by_frequency,
        "roots_of_unity",
        lambda n: coarse(n) if n in rough else roots_of_unity(n),
    )
    for seed in range(3):
        rng = np.random.default_rng(seed)
        K = rng.standard_normal((2, 3, H, W))
        matrix = kernel_matrix(torch.from_numpy(K), Torus(H, W), "circular").numpy()
        A = matrix.T if adjoint else matrix
        x = rng.standard_normal((4, A.shape[1]))
        y = ByFrequency(K, H, W, adjoint=adjoint)(Near.exact(x))
        off = np.linalg.norm(y.v - x @ A.T, axis=1)
        assert (off <= y.error).all()
        assert (off > 1e-6).any()  # so that the roots did count
        assert (y.error <= 1e3 * off).all()


class Off:
    """A step of a transform that is off by 1e-3 in every entry, and says so."""

    def __init__(self, true):
        self.true = true

    def __call__(self, v, size, error):
        y, size, error = self.true(v, size, error)
        own = 1.001e-3 * np.sqrt(y.numel() / len(error))
        return y + 1e-3, size + own, error + own


@pytest.mark.parametrize("step", ["forward", "blocks", "back"])
@pytest.mark.parametrize("sides", SIDES)
def test_the_error_of_every_step_of_a_transform_counts(sides, step):
    rng = np.random.default_rng(0)
    K = rng.standard_normal((2, 3, *sides))
    matrix = kernel_matrix(torch.from_numpy(K), Torus(*sides), "circular").numpy()
    for adjoint, A in ((False, matrix), (True, matrix.T)):
        by = ByFrequency(K, *sides, adjoint=adjoint)
        setattr(by, step, Off(getattr(by, step)))
        x = rng.standard_normal((4, A.shape[1]))
        y = by(Near.exact(x))
        off = np.linalg.norm(y.v - x @ A.T, axis=1)
        assert (off > 1e-5).all()
        assert (off <= y.error).all()


@pytest.mark.parametrize("sides", SIDES)
def test_a_wrong_matrix_of_a_transform_is_counted_as_an_error(sides, monkeypatch):
    """Whatever its matrices are, the transform is compared with exact roots of unity."""
    rng = np.random.default_rng(0)
    K = rng.standard_normal((2, 3, *sides))
    A = kernel_matrix(torch.from_numpy(K), Torus(*sides), "circular").numpy()
    turns = planes.turns
    monkeypatch.setattr(planes, "turns", lambda *a: turns(*a) * (1.0 + 1e-6))
    x = rng.standard_normal((4, A.shape[1]))
    y = ByFrequency(K, *sides)(Near.exact(x))
    off = np.linalg.norm(y.v - x @ A.T, axis=1)
    assert (off > 1e-7).all()
    assert (off <= y.error).all()


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("adjoint", [False, True])
def test_the_norm_of_a_spectrum_is_that_of_the_images(sides, adjoint):
    rng = np.random.default_rng(0)
    K, gam = rng.standard_normal((2, 3, *sides)), rng.uniform(0.1, 4.0, 3 if adjoint else 2)
    matrix = kernel_matrix(torch.from_numpy(K), Torus(*sides), "circular").numpy()
    A = matrix.T if adjoint else matrix
    v, off = rng.standard_normal((2, 5, A.shape[1]))
    off *= 1e-3 / np.linalg.norm(off, axis=1, keepdims=True)
    by = ByFrequency(K, *sides, adjoint=adjoint)
    roots = np.repeat(np.sqrt(gam), sides[0] * sides[1])
    true = np.linalg.norm(v @ A.T * roots, axis=1)
    bound = by.norm_in(gam, Near.exact(v))
    assert (true * (1.0 - 1e-14) <= bound).all()
    assert (bound <= true * (1.0 + 1e-12) + 1e-12).all()
    near = by.norm_in(gam, Near(v, np.full(5, 1.001e-3)))
    assert (np.linalg.norm((v + off) @ A.T * roots, axis=1) <= near).all()
    assert (near > bound + 1e-4).all()  # the error counts


def test_both_routes_enclose_the_same_product():
    rng = np.random.default_rng(0)
    for H, W in SIDES:
        K = rng.standard_normal((2, 3, H, W))
        for adjoint in (False, True):
            x = Near(rng.standard_normal((3, (2 if adjoint else 3) * H * W)), np.full(3, 1e-6))
            a, b = (Map(K, H, W, *p, adjoint=adjoint)(x) for Map, p in ROUTES)
            assert (np.linalg.norm(a.v - b.v, axis=1) <= a.error - 1e-6 + b.error).all()
            assert (np.linalg.norm(a.v - b.v, axis=1) <= 1e-12).all()


ROUTES = ((Direct, ("circular",)), (ByFrequency, ()))
