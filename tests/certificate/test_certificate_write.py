"""Written certificates: what is true is accepted, and nothing is left behind that is not whole."""

import hashlib
from dataclasses import replace

import numpy as np
import padded_nets
import pytest
from written import (
    IMAGES,
    NETWORKS,
    D,
    claimed,
    honest,
    mondeq,
    normalize,
    recount,
    sll,
    tanh,
    tensor,
    verdict,
)

from certlip.blocks import (
    Affine,
    Network,
    Resize,
)
from certlip.certificate import claims_of, require_covered, write_certificate
from certlip.certificate.claims import CERTIFIED, UNKNOWN
from certlip.certification import Status, certify, parse_eps
from certlip.checker import CertificateError
from certlip.data import Dataset
from certlip.errors import InputError, UnsupportedError
from certlip.lmi import prove, prove_pairs
from certlip.lmi.search import Search


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("divisor", [255, None])
@pytest.mark.parametrize("make", [*NETWORKS.values(), tanh], ids=[*NETWORKS, "tanh"])
def test_an_honest_certificate_is_accepted(tmp_path, make, divisor, seed):
    network, proof, claims = honest(make, seed, divisor)
    assert claims.certified_correct["1e-3"] > 20
    answer = verdict(tmp_path / "a.certlip", network, proof.blocks, str(proof.lip), claims)
    assert answer.accepted, answer.reason
    assert answer.lipschitz_upper == str(proof.lip)
    assert answer.model_sha256 == network.sha256()
    assert answer.data_sha256 == claims.sha256
    assert answer.natural_accuracy == claims.natural_correct / 40
    assert answer.certified_accuracy == {t: c / 40 for t, c in claims.certified_correct.items()}


@pytest.mark.parametrize("name", ["explicit", "lben"])
def test_the_same_run_writes_the_same_bytes(tmp_path, name):
    contents = []
    for run in ("a", "b"):
        network = NETWORKS[name](0)
        proof = prove(network)
        path = tmp_path / f"{run}.certlip"
        write_certificate(path, network, proof.blocks, str(proof.lip), claimed(network, proof))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.certlip", "b.certlip"]


def test_a_guess_may_be_poor_if_the_radius_allows_for_it_and_not_otherwise(tmp_path):
    network, proof, claims = honest(NETWORKS["lben"], 0)
    noisy = {1: claims.states[1] + 1e-6}
    path, lip = tmp_path / "a.certlip", str(proof.lip)
    assert not verdict(path, network, proof.blocks, lip, replace(claims, states=noisy)).accepted
    smaller = recount(replace(claims, states=noisy, radius_lower=0.5 * claims.radius_lower))
    good = (smaller.status != CERTIFIED) | (claims.radius_lower > 0.02)
    status = np.where(good, smaller.status, UNKNOWN)
    radius = np.where(good, smaller.radius_lower, 0.0)
    lenient = recount(replace(smaller, status=status, radius_lower=radius))
    assert lenient.certified_correct["1e-3"] > 10
    answer = verdict(path, network, proof.blocks, lip, lenient)
    assert answer.accepted, answer.reason


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    network, proof, claims = honest(NETWORKS["explicit"], 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_certificate(tmp_path / "file" / "a.certlip", network, proof.blocks, "1", claims)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("make", "label"), [(lambda: [mondeq(0)], 0), (lambda: sll(0, 4), 1)])
def test_samples_that_overflow_are_unknown_and_not_counted(tmp_path, make, label):
    big = Affine(tensor(1e150 * np.eye(D)), tensor(np.zeros(D)))
    network = Network([big, *make()])
    proof = prove(network)
    x = np.random.default_rng(0).uniform(size=(9, D))
    x[4:] = 1e200
    data = Dataset("random", "test", x, np.full(9, label), classes=4, shape=(D,))
    radii = certify(network, proof, x, data.label, keep_states=True)
    assert (radii.status[4:] == Status.ERROR).all()
    claims = claims_of(radii, data, parse_eps("1"))
    assert claims.natural_correct == int((radii.predicted[:4] == label).sum())
    answer = verdict(tmp_path / "a.certlip", network, proof.blocks, str(proof.lip), claims)
    assert answer.accepted, answer.reason
    assert answer.natural_accuracy == claims.natural_correct / 9


def test_numbers_that_are_not_finite_are_unreadable_or_rejected(tmp_path):
    network, proof, claims = honest(NETWORKS["explicit"], 0)
    radius = claims.radius_lower.copy()
    radius[1] = np.nan
    lie = replace(claims, radius_lower=radius)
    assert not verdict(tmp_path / "a.certlip", network, proof.blocks, str(proof.lip), lie).accepted
    for lip in ("inf", "nan", "-1.0"):
        with pytest.raises(CertificateError, match="finite number >= 0"):
            verdict(tmp_path / "a.certlip", network, proof.blocks, lip, claims)


def test_bounds_of_pairs_are_written_and_proven(tmp_path):
    network, found, _ = honest(NETWORKS["lben"], 0)
    proof = prove_pairs(network, found, Search("structured"))
    assert len(proof.blocks[-1].pairs) == 6
    claims = claimed(network, proof)
    path, lip = tmp_path / "a.certlip", str(proof.lip)
    answer = verdict(path, network, proof.blocks, lip, claims)
    assert answer.accepted, answer.reason
    without = [*found.blocks[:-1], replace(proof.blocks[-1], pairs=None)]
    assert not verdict(path, network, without, lip, claims).accepted  # so the radii need them
    head = Affine(tensor(np.eye(4)), tensor(np.zeros(4)))
    longer = Network([*network.blocks, head])
    blocks = [*proof.blocks, prove(Network([head])).blocks[0]]
    with pytest.raises(UnsupportedError, match="bounds of pairs for a last block"):
        write_certificate(path, longer, blocks, lip, claims)


def test_a_kind_that_the_format_does_not_cover_is_refused_before_anything_is_written(tmp_path):
    network = Network([padded_nets.padded()])
    _, proof, claims = honest(NETWORKS["explicit"], 0)
    with pytest.raises(UnsupportedError, match=r"block 0 \(padded-equilibrium\), only") as caught:
        write_certificate(tmp_path / "a.certlip", network, proof.blocks, "1", claims)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UnsupportedError):
        require_covered(Network([*network.blocks, Resize(network.classes, 2)]))


def test_every_kind_that_the_checker_knows_is_covered():
    require_covered(NETWORKS["explicit"](0))
    require_covered(Network([normalize(), mondeq(0)]))


def test_the_second_route_of_the_command_line(certlip, tmp_path):
    """In exact fractions: small networks of matrices with piecewise linear functions, and no others."""
    path = tmp_path / "a.certlip"
    network, proof, claims = honest(NETWORKS["mondeq"], 0)
    write_certificate(path, network, proof.blocks, str(proof.lip), claims)
    result = certlip("verify", path, "--exact", "--json")
    assert result.code == 0, result.err
    assert sum(name.startswith("exact ") for name, _ in result.document["checks"]) == 3
    lie = replace(claims, radius_lower=1.01 * claims.radius_lower)
    write_certificate(path, network, proof.blocks, str(proof.lip), recount(lie))
    assert certlip("verify", path, "--exact").code == 1
    for make in (tanh, IMAGES["circular"]):
        network = make(0)
        proof = prove(network)
        none = recount(replace(claims, status=0 * claims.status + UNKNOWN, states={}))
        x = np.zeros((40, network.in_width), np.uint8)
        states = {
            k: np.zeros((40, b.sigma.width))
            for k, b in enumerate(network.blocks)
            if hasattr(b, "W") and hasattr(b, "U")
        }
        digest = hashlib.sha256((x / 255).tobytes() + (0 * claims.label).tobytes()).hexdigest()
        none = replace(
            none,
            x=x,
            label=0 * claims.label,
            predicted=0 * claims.label,
            states=states,
            sha256=digest,
            radius_lower=0 * claims.radius_lower,
        )
        write_certificate(path, network, proof.blocks, str(proof.lip), recount(none))
        assert certlip("verify", path).code == 0
        refused = certlip("verify", path, "--exact")
        assert refused.code == 3, refused.err
        assert "--exact" in refused.err
