"""The falsifier: it breaks planted bugs where bounds are tight, and never a sound proof."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from certify_nets import NETWORKS, affine, lben_block, normalize, samples, sll

from certlip.blocks import Network
from certlip.certification import certifier as certifier_module
from certlip.certification import certify, falsify
from certlip.certification.attacks import Falsifier
from certlip.certification.attacks.base import Attack
from certlip.linalg.rigorous import UpperBound
from certlip.lmi import NetworkProof, prove
from certlip.lmi.network import product


class Fixed(Attack):
    """Always the same points."""

    def __init__(self, points):
        self.points = points

    def run(self, target, claims, generator):
        yield self.points


def linear(seed=0, std=None):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((1, 6))
    first = [] if std is None else [normalize(6, std)]
    return Network([*first, affine(np.vstack([w, -w]), rng.standard_normal(2))])


def truncation():
    """An SLL net whose hidden units are asleep near the origin: the logits are coordinates."""
    blocks = sll(0, d=6, classes=4, width=6).blocks
    asleep = [replace(b, b=b.b - 30.0) if b.kind == "residual" else b for b in blocks]
    return Network(asleep)


def with_bounds(proof, changes):
    """The proof with some blocks' bounds replaced, as a bug would."""
    blocks = tuple(
        replace(own, lip=UpperBound(changes.get(k, own.lip.value)))
        for k, own in enumerate(proof.blocks)
    )
    return NetworkProof(blocks, product([own.lip for own in blocks]))


def attack(network, proof, x, label, factor=1.0):
    result = certify(network, proof, x, label)
    rows = np.flatnonzero(result.radius_lower > 0)
    assert len(rows) > 0
    return len(rows), falsify(
        network, proof, x[rows], result.predicted[rows], factor * result.radius_lower[rows]
    )


@pytest.mark.parametrize("network", [linear(), linear(1, std=0.3), truncation()])
def test_radius_is_tight_and_sound_where_the_bound_is(network):
    x, label = samples(network, 60, scale=0.5)
    proof = prove(network)
    if network.blocks[0].kind == "normalize":  # one deviation for all: the bound is attained
        std = torch.full((6,), 0.3, dtype=torch.float64)
        network = Network([replace(network.blocks[0], std=std), *network.blocks[1:]])
        proof = prove(network)
        x, label = samples(network, 60, scale=0.5)
    n, sound = attack(network, proof, x, label)
    assert sound.broken == ()
    assert len(attack(network, proof, x, label, factor=1.02)[1].broken) == n


def test_counterexamples_lie_in_the_ball_and_change_the_class():
    network = linear()
    x, label = samples(network, 20)
    _, result = attack(network, prove(network), x, label, factor=1.05)
    assert result.summary() == {
        "attacked": 20,
        "attacks": ["pgd", "ascent", "rounding"],
        "steps": 20,
        "restarts": 2,
        "broken": 20,
    }
    radius = 1.05 * certify(network, prove(network), x, label).radius_lower
    for c in result.broken:
        assert np.linalg.norm(c.point - x[c.index]) <= c.distance <= radius[c.index] == c.radius
        W, b = (a.numpy() for a in network.blocks[0].arrays().values())
        assert (W @ c.point + b).argmax() == c.other != label[c.index] == c.label


def test_a_point_outside_the_ball_is_no_counterexample():
    network = linear()
    x, label = samples(network, 5)
    radius = certify(network, prove(network), x, label).radius_lower
    w = network.blocks[0].W.numpy()[0] - network.blocks[0].W.numpy()[1]
    step = np.where(label == 0, -1, 1)[:, None] * w / np.linalg.norm(w)
    falsifier = Falsifier(network, prove(network))
    for factor, size, found in ((1.1, 1.2, 5), (1.1, 1.0, 0), (0.9, 1.2, 0)):
        point = x + factor * radius[:, None] * step
        falsifier.attacks = {"fixed": Fixed(point)}
        assert len(falsifier(x, label, size * radius, torch.Generator())) == found


def test_halved_bound_is_caught():
    for network in (linear(), truncation()):
        k = len(network.blocks) - 1 if len(network.blocks) == 1 else 1
        proof = with_bounds(prove(network), {k: 0.5 * prove(network).blocks[k].lip.value})
        x, label = samples(network, 40, scale=0.5)
        n, result = attack(network, proof, x, label)
        assert len(result.broken) > 0.9 * n


def test_missing_root_two_is_caught(monkeypatch):
    network = truncation()
    honest = certifier_module.pair_bounds
    monkeypatch.setattr(certifier_module, "pair_bounds", lambda *args: honest(*args) / np.sqrt(2))
    x, label = samples(network, 40, scale=0.5)
    n, result = attack(network, prove(network), x, label)
    assert len(result.broken) > 0.9 * n


def test_dropped_normalization_bound_is_caught():
    network = linear(2, std=0.3)
    proof = with_bounds(prove(network), {0: 1.0})
    x, label = samples(network, 40)
    n, result = attack(network, proof, x, label)
    assert len(result.broken) > 0.9 * n


@pytest.mark.parametrize("name", NETWORKS)
def test_sound_proofs_are_never_broken(name):
    network = NETWORKS[name](8)
    x, label = samples(network, 300)
    n, result = attack(network, prove(network), x, label)
    assert n >= 200
    assert result.broken == ()


@pytest.mark.parametrize("seed", range(3))
def test_random_sll_and_lben_are_never_broken(seed):
    for network in (sll(seed, d=8, width=8), Network([lben_block(seed, lip=3.0)])):
        x, label = samples(network, 220, seed=seed, scale=2.0)
        n, result = attack(network, prove(network), x, label)
        assert n >= 200
        assert result.broken == ()


def test_the_attack_is_repeatable_and_reports_progress():
    network, seen = linear(), []
    x, label = samples(network, 300)
    proof = prove(network)
    radius = np.full(300, 0.5)
    first = falsify(network, proof, x, label, radius, on_progress=lambda i, n: seen.append((i, n)))
    again = falsify(network, proof, x, label, radius)
    assert seen == [(256, 300), (300, 300)]
    found = [c.index for c in first.broken]
    assert found == sorted(set(found)) == [c.index for c in again.broken]
    assert found[0] < 256 <= found[-1] < 300
    assert all((a.point == b.point).all() for a, b in zip(first.broken, again.broken, strict=True))
