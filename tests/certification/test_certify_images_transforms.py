"""Attacks on the enclosure by frequency: every step of a transform, its roots and its norms count."""

import numpy as np
import pytest
import torch

from certlip.blocks.dense_form import kernel_matrix
from certlip.certification.enclosure import convolution
from certlip.certification.enclosure.convolution import ByFrequency, Direct
from certlip.certification.enclosure.near import Near
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
    for step in (by.rows, by.columns, by.columns_back, by.rows_back):
        true = np.linalg.norm(step.A, 2)
        assert true * (1 - 1e-12) <= step.norm <= true * 1.5
        # any order of the sums of a product with |A|
        assert step.blur >= step.A.shape[1] * 2.0**-53 * np.linalg.norm(np.abs(step.A), 2)
    blocks = by.spectrum.blocks().mid
    assert by.blocks.norm >= np.linalg.norm(blocks, 2, axis=(1, 2)).max()
    size = np.linalg.norm(np.abs(blocks), 2, axis=(1, 2)).max()
    assert by.blocks.blur >= (10 if adjoint else 2) * 2.0**-53 * size


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
        frequencies if where == "kernel" else convolution,
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

    def __call__(self, v, error):
        y, error = self.true(v, error)
        return y + 1e-3, error + 1.001e-3 * np.sqrt(y.size / len(error))


@pytest.mark.parametrize("step", ["rows", "columns", "columns_back", "rows_back"])
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
