"""Single attacks: what each finds, and where it looks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from attack_nets import diagonal
from certify_nets import affine, lben_block, normalize, samples

from certlip.blocks import Activation, Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification import falsify
from certlip.certification.attacks import ATTACKS, Falsifier
from certlip.certification.attacks.ascent import MarginAscent
from certlip.certification.attacks.base import Claims
from certlip.certification.attacks.norms import L2, NORMS
from certlip.certification.attacks.pgd import ProjectedGradient
from certlip.certification.attacks.rounding import Rounding
from certlip.certification.attacks.target import Target, Walk, lead
from certlip.errors import InputError
from certlip.lmi import prove

norms = pytest.mark.parametrize("norm", NORMS.values(), ids=list(NORMS))


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


def test_slopes_that_overflow_are_no_direction():
    huge = Network([affine([[1e30, 0.0], [0.0, 1.0]]), affine([[1e30, 0.0], [0.0, 1.0]])])
    walk = Walk(Target(huge).fast, lambda y: y[:, 0])
    _, slope = walk.slope(torch.ones(3, 2))
    assert slope.isfinite().all()


def test_unknown_names_are_refused():
    network = diagonal()
    for option, value, known in (
        ("norm", "l1", "expected one of"),
        ("semantics", "float16", "expected real or float32"),
        ("attacks", ("pgd", "fgsm"), "expected one of"),
    ):
        with pytest.raises(InputError, match=known):
            Falsifier(network, prove(network), **{option: value})
