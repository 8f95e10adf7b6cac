"""Balls and float32 cells: who is inside is decided exactly."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import sll, tensor
from hypothesis import given
from hypothesis import strategies as st

from certlip.certification.attacks.base import Attack, Claims
from certlip.certification.attacks.norms import L2, NORMS, Linf
from certlip.certification.attacks.pgd import Cube
from certlip.certification.attacks.rounding import bisect, from_float32
from certlip.certification.attacks.target import Target

seeds = st.integers(0, 2**32 - 1)
norms = pytest.mark.parametrize("norm", NORMS.values(), ids=list(NORMS))


def exact_distance(norm, x, point):
    """‖point − x‖², or max |·|², in rational arithmetic."""
    squares = [(Fraction(a) - Fraction(b)) ** 2 for a, b in zip(point, x, strict=True)]
    return sum(squares) if norm.name == "l2" else max(squares)


def wild(rng, n, d):
    return rng.standard_normal((n, d)) * 10.0 ** rng.integers(-9, 10, (n, 1))


@norms
@given(seed=seeds)
def test_points_are_inside_exactly_or_pulled_there(norm, seed):
    rng = np.random.default_rng(seed)
    x, r = wild(rng, 6, 5), 10.0 ** rng.uniform(-18, 9, 6)
    points = x + wild(rng, 6, 5)
    points[0] = np.nan
    points[1, 2] = np.inf
    points[2] = x[2]
    pulled = norm.pulled(x, points, r)
    for i in range(6):
        assert exact_distance(norm, x[i], pulled[i]) <= Fraction(r[i]) ** 2
    np.testing.assert_array_equal(pulled[:3], x[:3])
    inside = norm.within(x[3:], points[3:], r[3:])
    np.testing.assert_array_equal(pulled[3:][inside], points[3:][inside])


@norms
def test_far_points_are_pulled_to_the_sphere(norm):
    rng = np.random.default_rng(0)
    x, r = rng.standard_normal((50, 7)), rng.uniform(0.1, 1.0, 50)
    pulled = norm.pulled(x, x + 10.0 * rng.standard_normal((50, 7)), r)
    distance = norm.size(torch.from_numpy(pulled - x))[:, 0].numpy()
    np.testing.assert_allclose(distance, r, rtol=1e-9)


@norms
@given(seed=seeds)
def test_who_is_inside_is_decided_exactly(norm, seed):
    """Radii within a few units of the distance, on both sides of it."""
    rng = np.random.default_rng(seed)
    x, points = rng.standard_normal((2, 8, 4))
    size = norm.size(torch.from_numpy(points - x))[:, 0].numpy()
    r = size * (1.0 + rng.integers(-3, 4, 8) * 2.0**-52)
    inside = norm.within(x, points, r)
    for i in range(8):
        assert inside[i] == (exact_distance(norm, x[i], points[i]) <= Fraction(r[i]) ** 2)


@norms
def test_steps_and_projections(norm):
    rng = np.random.default_rng(1)
    slope = tensor(rng.standard_normal((30, 6)))
    r = tensor(rng.uniform(0.5, 2.0, (30, 1)))
    d = norm.steepest(slope)
    torch.testing.assert_close(norm.size(d), torch.ones(30, 1).double())
    for _ in range(50):  # no other direction of that norm is steeper
        other = tensor(rng.standard_normal((30, 6)))
        other /= norm.size(other)
        assert ((slope * other).sum(1) <= (slope * d).sum(1) + 1e-12).all()
    anywhere = norm.anywhere(r, 6, torch.Generator())
    assert (norm.size(anywhere) <= r * (1 + 1e-6)).all()
    assert (norm.size(anywhere) > 0.3 * r).any()
    torch.testing.assert_close(norm.project(0.9 * anywhere, r), 0.9 * anywhere)
    assert (norm.size(norm.project(5.0 * slope, r)) <= r * (1 + 1e-12)).all()
    assert not norm.steepest(torch.zeros(2, 6)).any()
    tiny = norm.steepest(tensor(np.full((1, 6), 1e-200)))
    torch.testing.assert_close(norm.size(tiny), torch.ones(1, 1).double())


def test_the_cube_lies_in_the_ball():
    seen = []

    class Corners(Attack):
        def run(self, target, claims, generator):
            seen.append(claims)
            yield claims.x + claims.radius[:, None]

    x, r = np.random.default_rng(0).standard_normal((20, 7)), np.linspace(1e-9, 3.0, 20)
    claims = Claims(x, np.zeros(20, dtype=int), r, L2())
    (corners,) = Cube(Corners())(Target(sll()), claims, torch.Generator())
    assert isinstance(seen[0].norm, Linf)
    assert all(
        Fraction(s) ** 2 * 7 <= Fraction(b) ** 2 for s, b in zip(seen[0].radius, r, strict=True)
    )
    np.testing.assert_allclose(np.linalg.norm(corners - x, axis=1), r, rtol=1e-6)
    list(Cube(Corners())(Target(sll()), replace(claims, norm=Linf()), torch.Generator()))
    np.testing.assert_array_equal(seen[1].radius, r)


def test_bisection_closes_in():
    edge = tensor([[0.3], [1.0], [0.0]])
    inner, outer = bisect(
        lambda t: (t > edge)[:, 0], tensor(np.zeros((3, 1))), tensor(np.ones((3, 1)))
    )
    assert (inner <= edge).all()
    assert (outer[[0, 2]] > edge[[0, 2]]).all()
    assert (outer - inner <= 1e-15).all()


@given(seed=seeds)
def test_the_nearest_double_of_a_float32_cell(seed):
    rng = np.random.default_rng(seed)
    x = wild(rng, 5, 4)
    cast = (x * (1.0 + rng.integers(-3, 4, x.shape) * 2.0**-24)).astype(np.float32)
    found = from_float32(x, cast)
    np.testing.assert_array_equal(found.astype(np.float32), cast)
    nearer = np.nextafter(np.nextafter(found, x), x)  # two doubles: the first may be a tie
    moved = nearer != found
    assert (nearer.astype(np.float32) != cast)[moved & (found != x)].all()
    assert (np.abs(found - x) <= np.abs(cast - x)).all()
