"""Radii behind the front of a network: at least what an input radius gives and what rounding costs."""

from fractions import Fraction

import numpy as np
import pytest
from certify_nets import exact
from hypothesis import example, given
from hypothesis import strategies as st

from certlip.certification.interval import growth as growth_module
from certlip.certification.interval import start as start_module
from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.convolution import Gathered, kernel
from certlip.certification.interval.growth import Plain, Rounding
from certlip.certification.interval.single.base import Single
from certlip.certification.interval.single.start import SingleStart
from certlip.certification.interval.start import Front
from certlip.linalg.rigorous.ball import Ball

U = 2.0**-53

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


@pytest.mark.parametrize("kind", fronts())
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, np.int64])
def test_inputs_of_other_types_are_taken_as_doubles(kind, dtype):
    x = np.random.default_rng(4).integers(0, 200, (4, 18)).astype(dtype)
    front = Front(fronts()[kind], 18)
    boxes = [next(front(each).within(np.full(4, 0.1)))[1] for each in (x, x.astype(float))]
    assert boxes[0].mid.dtype == boxes[0].radius().dtype == np.float64
    np.testing.assert_array_equal(boxes[0].mid, boxes[1].mid)
    np.testing.assert_array_equal(boxes[0].radius(), boxes[1].radius())


def test_weights_that_are_off_are_held_at_a_point_and_cost_no_more_than_their_share():
    # the second number is large, and nothing of it is read
    W = Ball(np.array([[1.0, 0.0]]), np.array([[U, 0.0]]))
    x = np.array([[0.3, 1e18]])
    step = Matrix(W, np.zeros(1))
    [(_, box)] = list(Front([step], 2)(x).within(np.zeros(1)))
    for rad in (box.radius(), step(Ball(x)).radius()):
        assert U * 0.3 <= rad[0, 0] <= 1e-15


@pytest.mark.parametrize("kind", fronts())
def test_parts_have_the_boxes_of_their_own_rows(kind, monkeypatch):
    rng = np.random.default_rng(5)
    x, r = rng.standard_normal((11, 18)), rng.uniform(0.1, 1.0, 11)
    front = Front(fronts()[kind], 18)
    [(_, whole)] = list(front(x).within(r))
    monkeypatch.setattr(start_module, "WORKING", 1)
    monkeypatch.setattr(start_module, "FEWEST", 4)
    start = front(x)
    for found in (start.within(r), SingleStart(start).within(r)):
        parts = [(rows, box.ball() if isinstance(box, Single) else box) for rows, box in found]
        assert [rows.start for rows, _ in parts] == [0, 4, 8]
        for rows, box in parts:
            np.testing.assert_allclose(box.mid, whole.mid[rows], rtol=1e-6, atol=1e-3)
            np.testing.assert_allclose(box.radius(), whole.radius()[rows], rtol=1e-5, atol=1e-3)


def test_what_the_front_rounds_is_in_single_precision_as_well():
    # 0.3 + 1e18 − 1e18 in any order: what is lost is far above what floats lose of the result
    step, x = Matrix(np.array([[1.0, 1.0, -1.0]]), np.zeros(1)), np.array([[0.3, 1e18, 1e18]])
    x, true, lost = np.concatenate([x, x[:, ::-1] * [-1, 1, -1]]), Fraction(0.3), False
    for start in (Front([step], 3)(x), SingleStart(Front([step], 3)(x))):
        [(_, box)] = list(start.within(np.zeros(2)))
        ball = box.ball() if isinstance(box, Single) else box
        for y, rad in zip(ball.mid[:, 0], ball.radius()[:, 0], strict=True):
            lost |= y == 0.0
            assert abs(true - Fraction(y)) <= Fraction(rad)
    assert lost
