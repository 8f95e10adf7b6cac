"""Certificates of networks on images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from written import IMAGES, recount, verdict

from certlip.certificate import claims_of
from certlip.certification import certify, parse_eps
from certlip.data import Dataset
from certlip.lmi import prove
from certlip.solvers import Evaluator


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", IMAGES)
def test_certificates_of_images_are_accepted(tmp_path, name, seed):
    network = IMAGES[name](seed)
    proof = prove(network)
    x = np.random.default_rng(seed).uniform(size=(20, network.in_width))
    label = Evaluator(network)(torch.tensor(x)).argmax(dim=1).numpy()
    data = Dataset("random", "test", x, label, network.classes, (network.in_width,))
    radii = certify(network, proof, x, label, keep_states=True)
    claims = claims_of(radii, data, parse_eps("1e-6"))
    assert claims.certified_correct["1e-6"] > 10
    path, lip = tmp_path / "a.certlip", str(proof.lip)
    answer = verdict(path, network, proof.blocks, lip, claims)
    assert answer.accepted, answer.reason
    assert answer.model_sha256 == network.sha256()
    lie = recount(replace(claims, radius_lower=1.001 * claims.radius_lower))
    assert not verdict(path, network, proof.blocks, lip, lie).accepted
