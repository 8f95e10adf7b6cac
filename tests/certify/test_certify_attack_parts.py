"""Parts of the falsifier: balls, float32 cells, judges, the file of counterexamples, single attacks."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from certify_nets import affine, lben_block, normalize, samples, sll, tensor
from hypothesis import given
from hypothesis import strategies as st

from certlip.blocks import Activation, Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.certify import certify, falsify
from certlip.certify.attacks import (
    ATTACKS,
    Falsifier,
    load_counterexamples,
    save_counterexamples,
)
from certlip.certify.attacks.ascent import MarginAscent
from certlip.certify.attacks.base import Attack, Claims
from certlip.certify.attacks.judge import Float32Judge, RealJudge
from certlip.certify.attacks.norms import L2, NORMS, Linf
from certlip.certify.attacks.pgd import Cube, ProjectedGradient
from certlip.certify.attacks.rounding import Rounding, bisect, from_float32
from certlip.certify.attacks.target import Target, Walk, lead
from certlip.errors import InputError
from certlip.lmi import prove

seeds = st.integers(0, 2**32 - 1)
norms = pytest.mark.parametrize("norm", NORMS.values(), ids=list(NORMS))


def exact_distance(norm, x, point):
    """‖point − x‖², or max |·|², in rational arithmetic."""
    squares = [(Fraction(a) - Fraction(b)) ** 2 for a, b in zip(point, x, strict=True)]
    return sum(squares) if norm.name == "l2" else max(squares)


def wild(rng, n, d):
    return rng.standard_normal((n, d)) * 10.0 ** rng.integers(-9, 10, (n, 1))


# --- balls ----------------------------------------------------------------------------------------


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


# --- float32 --------------------------------------------------------------------------------------


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


def common(scale=1e6):
    """Logits that share a large term: what differs between them is lost in float32."""
    rng = np.random.default_rng(0)
    W = scale * rng.standard_normal(8) + 0.1 * rng.standard_normal((4, 8))
    return Network([affine(W, rng.standard_normal(4))])


def test_radii_of_real_arithmetic_are_broken_in_float32_and_those_of_float32_are_not():
    network = common()
    x, label = samples(network, 100)
    proof = prove(network)
    radii = certify(network, proof, x, label)
    rows = radii.radius_lower > 0
    claims = x[rows], label[rows], radii.radius_lower[rows]
    assert not falsify(network, proof, *claims).broken
    broken = falsify(network, proof, *claims, semantics="float32").broken
    assert len(broken) > 0.5 * rows.sum()
    assert {c.semantics for c in broken} == {"float32"}
    assert all(c.holds(network, proof) for c in broken)
    mild = common(1e3)
    x, label = samples(mild, 100)
    both = certify(mild, prove(mild), x, label, semantics="float32")
    rows = both.radius_lower > 0
    assert rows.sum() > 20
    claims = x[rows], label[rows], both.radius_lower[rows]
    assert not falsify(mild, prove(mild), *claims, semantics="float32").broken


def test_a_tie_in_float32_is_no_win_of_the_label():
    network = Network([affine([[1.0, 0.0], [1.0 + 2.0**-40, 0.0]])])
    judge = Float32Judge(network, prove(network), Target(network))
    assert judge(np.array([[1.0, 1.0]]), np.array([1])).other[0] == 0


def test_slopes_that_overflow_are_no_direction():
    huge = Network([affine([[1e30, 0.0], [0.0, 1.0]]), affine([[1e30, 0.0], [0.0, 1.0]])])
    walk = Walk(Target(huge).fast, lambda y: y[:, 0])
    _, slope = walk.slope(torch.ones(3, 2))
    assert slope.isfinite().all()


def test_a_logit_that_overflows_does_not_speak_for_the_label():
    huge = Network([affine([[1e30, 0.0], [0.0, 1.0]]), affine([[1e30, 0.0], [0.0, 1.0]])])
    judge = Float32Judge(huge, prove(huge), Target(huge))
    points = np.array([[1.0, 1.0], [-1.0, 1.0], [0.0, 1.0]])
    assert (judge(points, np.array([1, 0, 1])).other == [0, 1, -1]).all()
    nan = Network([affine([[1e38, 1e38], [0.0, 1.0]]), affine([[10.0, 0.0], [0.0, 1.0]])])
    both = Network(
        [*nan.blocks, affine([[1.0, 0.0], [1.0, 0.0]]), affine([[1.0, -1.0], [0.0, 1.0]])]
    )
    judge = Float32Judge(both, prove(both), Target(both))
    assert judge(np.array([[1.0, 1.0]]), np.array([0])).other[0] == 1  # ∞ − ∞ is no number


# --- judges ---------------------------------------------------------------------------------------


def test_the_real_judge_asks_where_another_class_is_near_and_believes_the_enclosure_alone():
    network = Network([affine([[1.0, 0.0], [0.0, 1.0]])])
    target = Target(network)
    judge, asked = RealJudge(network, prove(network), target), []
    honest = judge.encloser

    def counting(x):
        asked.append(len(x))
        return honest(x)

    judge.encloser = counting
    points = np.array([[1.0, 0.0], [1.0, 1.0 - 1e-9], [0.0, 1.0], [0.0, 0.0]])
    verdicts = judge(points, np.zeros(4, dtype=int))
    assert asked == [3]
    assert (
        verdicts.other == [-1, -1, 1, -1]
    ).all()  # (0, 0): a tie, as far as an enclosure can tell
    assert verdicts.error[0] == np.inf
    wrong = replace(honest(points), y=np.array([[1.0, 0.0]] * 4))
    judge.encloser = lambda x: replace(wrong, y=wrong.y[: len(x)], error=wrong.error[: len(x)])
    assert (judge(points, np.zeros(4, dtype=int)).other == -1).all()


def test_a_tie_within_the_error_is_nothing():
    network = Network([affine([[0.1, 0.7], [0.7, 0.1]])])
    judge = RealJudge(network, prove(network), Target(network))
    verdicts = judge(np.array([[0.3, 0.3]]), np.array([0]))
    assert verdicts.error[0] > 0.0
    assert verdicts.other[0] == -1


@pytest.mark.parametrize(("error", "other"), [(0.7, 1), (0.708, -1), (1.0, -1), (np.inf, -1)])
def test_two_logits_that_are_off_by_the_error_may_meet(error, other):
    """Both change at once: a lead of 1 is none if ‖(e_0, e_1)‖ ≤ 1/√2 is not known."""
    network = Network([affine([[1.0, 0.0], [0.0, 1.0]])])
    judge = RealJudge(network, prove(network), Target(network))
    enclosure = judge.encloser(np.array([[0.0, 1.0]]))
    judge.encloser = lambda x: replace(enclosure, error=np.array([error]))
    assert judge(np.array([[0.0, 1.0]]), np.array([0])).other[0] == other


# --- single attacks -------------------------------------------------------------------------------


def diagonal():
    """f_0 − f_1 = 2(Σ x_i + 0.5): the steepest direction is a corner of the cube."""
    return Network([affine(np.vstack([np.ones((1, 6)), -np.ones((1, 6))]), [0.5, -0.5])])


@norms
@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_breaks_a_radius_that_is_too_large_and_no_other(name, norm):
    network = diagonal()
    x, label = samples(network, 30)
    away = np.abs(x.sum(axis=1) + 0.5) / (np.sqrt(6) if norm.name == "l2" else 6)
    for factor, share in ((1.001, 1.0), (0.999, 0.0)):
        options = {"attacks": (name,), "norm": norm.name}
        found = falsify(network, prove(network), x, label, factor * away, **options)
        assert len(found.broken) == share * len(x)
        assert found.attacks == (name,)
        assert all(c.attack == name and c.norm == norm.name for c in found.broken)


def test_rounding_finds_what_projected_gradients_pass_over():
    """A radius that is too large by 5·10⁻¹²: only points of the outermost layer break it."""
    network = diagonal()
    x, label = samples(network, 30)
    radius = np.abs(x.sum(axis=1) + 0.5) / np.sqrt(6) * (1.0 + 5e-12)
    claims = (network, prove(network), x, label, radius)
    assert len(falsify(*claims, attacks=("rounding",)).broken) > 25
    assert not falsify(*claims, attacks=("pgd", "cube")).broken


def test_neighbours_move_by_one_number_up_the_slope_the_steepest_coordinates_first():
    network = Network([affine([[1.0, -3.0, 0.5, 2.0], [0.0, 0.0, 0.0, 0.0]], [10.0, 0.0])])
    x = np.array([[0.3, 0.4, 0.5, 0.6]])
    claims = Claims(x, np.array([0]), np.array([0.1]), L2())
    found, cast, *rest = Rounding(restarts=1).run(Target(network), claims, torch.Generator())
    away = np.array([-np.inf, np.inf, -np.inf, -np.inf])
    np.testing.assert_array_equal(rest[0] != found, [[False, True, False, False]])
    np.testing.assert_array_equal(rest[4], np.nextafter(found, away))
    single = found.astype(np.float32)
    np.testing.assert_array_equal(cast.astype(np.float32), single)
    np.testing.assert_array_equal(
        rest[5].astype(np.float32), np.nextafter(single, away.astype(np.float32))
    )
    assert len(rest) == 8


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_ascent_works_at_radii_that_float32_does_not_resolve(scale):
    """x is so large that x + d is x in float32."""
    W = np.array([[1.0, 2.0, -1.0], [-1.0, -2.0, 1.0]])
    x = scale * np.random.default_rng(0).standard_normal((20, 3))
    x -= np.outer(x @ W[0] - 1e-6 * scale, W[0]) / 6.0  # f_0 − f_1 = 2·10⁻⁶·scale
    hidden = Network([affine(np.vstack([W, np.eye(3)])), Activation(Sigma.of(ReLU(), 5))])
    network = Network([*hidden.blocks, affine([[1, -1, 0, 0, 0], [-1, 1, 0, 0, 0]])])
    radius = np.full(20, 1.001e-6 * scale / np.sqrt(6.0))
    label = np.zeros(20, dtype=int)
    found = falsify(network, prove(network), x, label, radius, attacks=("ascent",))
    assert len(found.broken) == 20


def test_restarts_of_the_ascent_take_other_classes():
    """The runner-up is unreachable; the third class is near."""
    W = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    network = Network([affine(W, [1.0, 0.9, 0.0])])
    x, label, radius = np.zeros((1, 2)), np.zeros(1, dtype=int), np.array([1.0001])
    for restarts, found in ((1, 0), (2, 1), (5, 1)):
        options = {"attacks": ("ascent",), "restarts": restarts, "steps": 1}
        broken = falsify(network, prove(network), x, label, radius, **options).broken
        assert len(broken) == found
        assert all(c.other == 2 for c in broken)


class Recorder:
    """Evaluates, and keeps what it was asked for and what it said."""

    def __init__(self, evaluator):
        self.evaluator, self.seen = evaluator, []

    def run(self, x, states=None):
        y, solutions = self.evaluator.run(x, states)
        self.seen.append((x.detach().double().numpy(), (y[:, 1] - y[:, 0]).detach().numpy()))
        return y, solutions

    def __call__(self, x):
        return self.run(x)[0]


@pytest.mark.parametrize("kind", [ProjectedGradient, MarginAscent])
@pytest.mark.parametrize("peak", [0.31, 0.87])
def test_the_best_point_on_the_way_is_yielded(kind, peak):
    """f_1 − f_0 = −1 − |x − peak|, which steps jump over, at the end as well as before."""
    hidden = Network([affine([[1.0], [-1.0]], [-peak, peak]), Activation(Sigma.of(ReLU(), 2))])
    network = Network([*hidden.blocks, affine([[0.5, 0.5], [-0.5, -0.5]], [0.5, -0.5])])
    for steps in range(1, 8):
        target = Target(network)
        target.fast, target.tight = Recorder(target.fast), Recorder(target.tight)
        claims = Claims(np.zeros((1, 1)), np.array([0]), np.array([1.0]), L2())
        (point,) = kind(steps, 1)(target, claims, torch.Generator())
        seen = (target.fast if kind is ProjectedGradient else target.tight).seen
        assert len(seen) >= steps + 1
        best = max(seen, key=lambda pair: pair[1][0])
        assert abs(best[0] - point).max() < 1e-6


def test_slopes_of_a_walk_are_those_of_the_margin():
    network = Network([normalize(4), lben_block(1)])
    x, label = samples(network, 10)
    a, points = torch.from_numpy(label), torch.from_numpy(x)
    walk = Walk(Target(network).tight, lambda y: lead(y, a))
    value, slope = walk.slope(points)
    torch.testing.assert_close(walk.value(points), value, rtol=1e-8, atol=1e-8)
    step = 1e-6 * torch.randn_like(points)
    moved = walk.value(points + step) - walk.value(points - step)
    torch.testing.assert_close(moved, 2.0 * (slope * step).sum(dim=1), rtol=1e-3, atol=1e-10)


def test_logits_do_not_depend_on_the_points_before():
    network = Network([normalize(4), lben_block(2)])
    x, _ = samples(network, 9)
    target = Target(network)
    first = [target.logits(x[rows]) for rows in (slice(3), slice(9), slice(6, 9), slice(3))]
    torch.testing.assert_close(first[1][:3], first[0], rtol=0.0, atol=1e-8)
    torch.testing.assert_close(first[1][6:], first[2], rtol=0.0, atol=1e-8)
    torch.testing.assert_close(first[3], first[0], rtol=0.0, atol=1e-8)


def test_every_attack_is_documented():
    page = Path(__file__).resolve().parents[2] / "docs" / "theory.md"
    for name in ATTACKS:
        assert f"\n| `{name}` |" in page.read_text("utf-8")


def test_rows_whose_equilibrium_was_not_reached_are_asked_about():
    """A solver that gives up must not make the judge look away."""
    network = Network([lben_block(2)])
    x, label = samples(network, 6)
    target = Target(network)
    honest = target.tight

    class GivesUp:
        def run(self, x, states=None):
            y, solutions = honest.run(x, states)
            residual = solutions[0].residual.clone()
            residual[[1, 4]] = 1e-3
            return y, {0: replace(solutions[0], residuals=residual, converged=False)}

    target.tight = GivesUp()
    assert target.logits(x).isnan().all(dim=1).tolist() == [False, True, False, False, True, False]
    judge, asked = RealJudge(network, prove(network), target), []
    enclose = judge.encloser

    def counting(points):
        asked.append(points)
        return enclose(points)

    judge.encloser = counting
    assert (judge(x, label).other == -1).all()
    np.testing.assert_array_equal(asked[0], x[[1, 4]])


def test_unknown_names_are_refused():
    network = diagonal()
    for option, value in (("norm", "l1"), ("semantics", "float16"), ("attacks", ("pgd", "fgsm"))):
        with pytest.raises(InputError, match="expected one of"):
            Falsifier(network, prove(network), **{option: value})


# --- counterexamples ------------------------------------------------------------------------------


@pytest.fixture
def broken():
    network = diagonal()
    x, label = samples(network, 8)
    radius = 1.2 * certify(network, prove(network), x, label).radius_lower
    return network, falsify(network, prove(network), x, label, radius).broken


def test_the_file_of_counterexamples_is_complete(broken, tmp_path):
    network, found = broken
    save_counterexamples(tmp_path / "c.npz", found, network)
    again = load_counterexamples(tmp_path / "c.npz", network)
    assert len(again) == len(found) == 8
    assert {c.attack for c in found} == {"pgd"}  # the first that found one
    for a, b in zip(again, found, strict=True):
        for name, value in vars(b).items():
            np.testing.assert_array_equal(getattr(a, name), value)
            assert type(getattr(a, name)) is type(value)
        assert a.holds(network, prove(network))


def test_a_counterexample_that_is_none_does_not_hold(broken):
    network, (c, *_) = broken
    proof = prove(network)
    assert c.holds(network, proof)
    wrong = {
        "radius": {"radius": 0.8 * c.radius},
        "norm": {"norm": "linf", "radius": 0.1 * c.radius},
        "point": {"point": c.sample},
        "label": {"label": c.other},
        "sample": {"sample": c.sample + c.radius},
    }
    for changes in wrong.values():
        assert not replace(c, **changes).holds(network, proof)


def test_files_of_others_are_refused(broken, tmp_path):
    network, found = broken
    save_counterexamples(tmp_path / "c.npz", found, network)
    with pytest.raises(InputError, match="counterexamples to model"):
        load_counterexamples(tmp_path / "c.npz", common())
    np.savez(tmp_path / "d.npz", x=np.zeros(3))
    for name in ("d.npz", "absent.npz"):
        with pytest.raises(InputError, match="expected a file of counterexamples"):
            load_counterexamples(tmp_path / name, network)
