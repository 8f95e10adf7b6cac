"""Judges, and the file of what they condemned."""

from dataclasses import replace

import numpy as np
import pytest
from attack_nets import common, diagonal
from certify_nets import affine, lben_block, samples

from certlip.blocks import Network
from certlip.certification import certify, falsify
from certlip.certification.attacks import load_counterexamples, save_counterexamples
from certlip.certification.attacks.judge import Float32Judge, RealJudge
from certlip.certification.attacks.target import Target
from certlip.certification.enclosure import Encloser
from certlip.certification.enclosure import network as enclosure_of_networks
from certlip.errors import InputError
from certlip.lmi import prove


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


def test_the_judge_encloses_as_finely_as_it_can(monkeypatch):
    """However large the network is."""
    monkeypatch.setattr(enclosure_of_networks, "LARGE", 1)
    network = Network([lben_block(2)])
    x, label = samples(network, 20)
    proof, target = prove(network), Target(network)
    judge = RealJudge(network, proof, target)
    rough = Encloser(network, proof)(x).error
    fine = judge.encloser(x).error
    assert (fine < 1e-2 * rough).all()
    assert (judge(x, (label + 1) % 3).other == label).all()


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
