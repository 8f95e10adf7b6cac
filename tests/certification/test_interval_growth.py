"""Radii behind the front of a network: at least what an input radius gives and what rounding costs."""

from fractions import Fraction

import numpy as np
import pytest
from certify_nets import exact
from hypothesis import example, given
from hypothesis import strategies as st

from certlip.certification.interval import growth as growth_module
from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.convolution import Gathered, kernel
from certlip.certification.interval.growth import Plain, Rounding
from certlip.certification.interval.start import Front
from certlip.linalg.rigorous.ball import Ball

sizes = st.one_of(
    st.floats(0.0, 1e150),
    st.sampled_from([0.0, 5e-324, 1.5e-323, 2.0**-1000, 1.0, 1.0 + 2.0**-52, 1.0 / 3.0, 1e150]),
)


def below(rad, wanted):
    return all(np.isinf(a) or b <= Fraction(float(a)) for a, b in zip(rad, wanted, strict=True))


@given(st.lists(st.tuples(sizes, sizes, sizes), min_size=1, max_size=5), sizes, sizes)
@example([(1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0)] * 3, 1.0 / 3.0, 1.0 / 3.0)
@example([(5e-324, 5e-324, 0.0)], 0.4, 0.4)
def test_radii_are_at_least_what_is_asked(entries, r, size):
    unit, rows, floor = map(np.array, zip(*entries, strict=True))
    u, w, f = map(exact, (unit, rows, floor))
    for batch in (1, 3):
        for order in "CF":
            mid = np.zeros((batch, len(unit)), order=order)
            own = np.asarray(np.tile(rows, (batch, 1)), order=order)
            radii, sizes_ = np.full(batch, r), np.full(batch, size)
            rad = Plain(unit[None], own)(radii, mid)
            assert below(rad[-1], u * Fraction(r) + w)
            assert rad.flags[f"{order}_CONTIGUOUS"]
            rad = Rounding(unit[None], sizes_, rows, floor)(radii, mid)
            assert below(rad[-1], u * Fraction(r) + w * Fraction(size) + f)
            assert rad.flags[f"{order}_CONTIGUOUS"]


def test_without_room_something_is_lost(monkeypatch):
    rng = np.random.default_rng(0)
    unit, rows, floor = rng.uniform(0.5, 1.0, (3, 200))

    def held():
        r, size = np.array([1.0 / 3.0]), np.array([0.7])
        rad = Rounding(unit[None], size, rows, floor)(r, np.zeros((1, 200)))
        wanted = exact(unit) * Fraction(r[0]) + exact(rows) * Fraction(size[0]) + exact(floor)
        return below(rad[0], wanted)

    assert held()
    monkeypatch.setattr(growth_module, "ROOM", 1.0)
    monkeypatch.setattr(growth_module, "up", lambda x: x)
    assert not held()


def fronts():
    rng = np.random.default_rng(1)
    W, b = rng.standard_normal((5, 18)), 1e3 * rng.standard_normal(5)
    return {
        "matrix": [Matrix(W, b)],
        "matrix that is off": [Matrix(Ball(W, 1e-9 * np.abs(W)), b)],
        "two matrices": [Matrix(rng.standard_normal((18, 18)), np.zeros(18)), Matrix(W, b)],
        "convolution": [kernel(rng.standard_normal((4, 2, 3, 3)), 3, 3, "zero", np.ones(4))],
        "nothing": [],
    }


@pytest.mark.parametrize("kind", fronts())
@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e12])
def test_fronts_give_the_boxes_of_their_steps(kind, scale):
    steps, rng = fronts()[kind], np.random.default_rng(2)
    x, r = scale * rng.standard_normal((7, 18)), scale * rng.uniform(0.0, 1.0, 7)
    start = Front(steps, 18)(x)
    for factor in (0.0, 1.0, 1e-9):
        wanted = Ball(x, np.zeros_like(x) + factor * r[:, None])
        for step in steps:
            wanted = step(wanted)
        [(rows, box)] = list(start.within(factor * r))
        assert rows.start == 0
        # what is rounded is bounded in another way, by norms of x and not by its numbers
        np.testing.assert_allclose(box.mid, wanted.mid, rtol=1e-13, atol=1e-13 * scale)
        np.testing.assert_allclose(box.radius(), wanted.radius(), atol=1e-12 * (1e3 + scale))
        assert box.mid is not start.parts[0][1]


def truth(step, x):
    """Wx + b in rational arithmetic."""
    W, b = exact(step.W.mid), exact(step.b.mid)
    if not isinstance(step, Gathered):
        return W.dot(exact(x)) + b
    read = np.append(exact(x), Fraction(0))[step.reads]
    return (W.dot(read) + b[:, None]).ravel()


@pytest.mark.parametrize("kind", ["matrix", "convolution"])
def test_what_a_point_becomes_is_held_without_any_radius(kind):
    [step] = fronts()[kind]
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4, 18)) * 10.0 ** rng.uniform(-3.0, 3.0, (4, 18))
    [(_, box)] = list(Front([step], 18)(x).within(np.zeros(4)))
    off = np.array([abs(truth(step, x[i]) - exact(box.mid[i])) for i in range(4)])
    assert (off > 0).any()
    assert (off <= exact(box.radius())).all()
