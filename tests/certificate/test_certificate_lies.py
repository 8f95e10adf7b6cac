"""Every lie of a producer is rejected."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from written import NETWORKS, honest, recount, verdict

from certlip.blocks import (
    Network,
)
from certlip.certificate.claims import CERTIFIED


def scaled_radius(network, proof, claims, factor=1.001):
    return (
        network,
        proof.blocks,
        str(proof.lip),
        replace(claims, radius_lower=factor * claims.radius_lower),
    )


def one_radius(network, proof, claims):
    radius = claims.radius_lower.copy()
    radius[radius.argmax()] *= 1 + 1e-3  # more than a certifier leaves for the residual
    return network, proof.blocks, str(proof.lip), replace(claims, radius_lower=radius)


def smaller_product(network, proof, claims):
    return network, proof.blocks, repr(0.99 * proof.lip.value), claims


def smaller_block(network, proof, claims):
    k = max(
        range(len(proof.blocks)), key=lambda k: network.blocks[k].kind in ("equilibrium", "affine")
    )
    lip = type(proof.lip)(0.05 * proof.blocks[k].lip.value)
    blocks = [replace(own, lip=lip) if i == k else own for i, own in enumerate(proof.blocks)]
    return network, blocks, str(proof.lip), claims


def dropped_normalization(network, proof, claims):
    states = {k - 1: z for k, z in claims.states.items()}
    lip = repr(proof.lip.value * 0.301)
    return Network(network.blocks[1:]), proof.blocks[1:], lip, replace(claims, states=states)


def unit_normalization(network, proof, claims):
    lip = type(proof.lip)(1.0)
    return network, [replace(proof.blocks[0], lip=lip), *proof.blocks[1:]], str(proof.lip), claims


def missing_proof(network, proof, claims):
    return network, proof.blocks[:-1], str(proof.lip), claims


def flipped_label(network, proof, claims):
    label = (claims.label + 1) % 4
    digest = hashlib.sha256((claims.x / 255).tobytes() + label.tobytes()).hexdigest()
    predicted = np.where(claims.status == CERTIFIED, label, claims.predicted)
    lie = replace(claims, label=label, predicted=predicted, sha256=digest)
    return network, proof.blocks, str(proof.lip), lie


def unknown_called_certified(network, proof, claims):
    wrong = claims.status != CERTIFIED
    lie = replace(
        claims,
        predicted=claims.label,
        status=np.zeros_like(claims.status),
        radius_lower=np.where(wrong, 1e-6, claims.radius_lower),
    )
    return network, proof.blocks, str(proof.lip), lie


def other_inputs(network, proof, claims):
    return network, proof.blocks, str(proof.lip), replace(claims, x=255 - claims.x)


LIES = [
    *(scaled_radius, one_radius, smaller_product, smaller_block, dropped_normalization),
    *(unit_normalization, missing_proof, flipped_label, unknown_called_certified, other_inputs),
]


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_lie_is_rejected(tmp_path, name, lie):
    network, proofs, lip, claims = lie(*honest(NETWORKS[name], 1))
    answer = verdict(tmp_path / "lie.certlip", network, proofs, lip, recount(claims))
    assert not answer.accepted


@pytest.mark.parametrize(
    "change",
    [
        {"natural_correct": 40},
        {"certified_correct": {"36/255": 40, "0.01": 40, "1e-3": 40}},
        {"eps": {"36/255": 36 / 255, "0.01": 0.01, "1e-3": 1e-3}},  # rounded to nearest: too small
        {"eps": {"36/255": 0.1, "0.01": 0.01, "1e-3": 1e-3}},
        {"sha256": "0" * 64},
    ],
)
def test_a_false_count_is_rejected(tmp_path, change):
    network, proof, claims = honest(NETWORKS["explicit"], 1)
    claims = replace(claims, **change)
    path = tmp_path / "lie.certlip"
    assert not verdict(path, network, proof.blocks, str(proof.lip), claims).accepted


@pytest.mark.parametrize("array", ["gam", "lam", "mu", "W"])
def test_multipliers_of_another_network_are_rejected(tmp_path, array):
    network, proof, claims = honest(NETWORKS["lben"], 0)
    other, foreign, _ = honest(NETWORKS["lben"], 1)
    if array == "W":
        network, proofs = other, proof.blocks
    else:
        value = type(proof.blocks[1].mu)(2 * proof.blocks[1].mu.value) if array == "mu" else None
        value = value or getattr(foreign.blocks[1], array)
        proofs = [proof.blocks[0], replace(proof.blocks[1], **{array: value})]
    assert not verdict(tmp_path / "lie.certlip", network, proofs, str(proof.lip), claims).accepted
