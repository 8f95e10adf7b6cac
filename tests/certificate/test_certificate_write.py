"""Written certificates: what is true is accepted, every lie of a producer is not."""

import functools
import hashlib
from dataclasses import replace

import conv_nets
import numpy as np
import padded_nets
import pytest
import torch

from certlip.blocks import (
    Activation,
    Affine,
    Equilibrium,
    GroupSort,
    Network,
    Normalize,
    Origin,
    Resize,
    Sigma,
    Window,
)
from certlip.blocks.activations import ELU, LeakyReLU, ReLU, Tanh
from certlip.certificate import claims_of, require_covered, write_certificate
from certlip.certificate.claims import CERTIFIED, UNKNOWN
from certlip.certification import Status, certify, parse_eps
from certlip.checker import CertificateError, check_certificate
from certlip.data import Dataset
from certlip.equilibrium import LBEN
from certlip.errors import InputError, UnsupportedError
from certlip.lmi import prove, prove_pairs
from certlip.lmi.search import Search
from certlip.models import SLLClassifier
from certlip.reparam import equilibrium_from_network, reparametrize
from certlip.solvers import Evaluator

D = 6


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def normalize():
    return Normalize(tensor(np.full(D, 0.3)), tensor(np.linspace(0.3, 0.6, D)))


def sll(seed, classes, width=9, hidden=7, depth=3):
    torch.manual_seed(seed)
    model = SLLClassifier(D, classes, width=width, hidden=hidden, depth=depth).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.bias.normal_()
            layer.log_q.normal_()
    return model.freeze().blocks


def explicit(seed):
    rng = np.random.default_rng(seed)
    sigma = Sigma(((ReLU(), 1), (LeakyReLU(0.3), 2), (Tanh(), 2), (ELU(0.7), 1)))
    head = Affine(tensor(rng.normal(size=(4, 6))), tensor(rng.normal(size=4)))
    return Network([normalize(), *sll(seed, 6), Activation(sigma), head])


def lben(seed, n=12, kind=None):
    g = torch.Generator().manual_seed(seed)
    shapes = [(n,), (n, D), (4, n), (n, n), (n, n), (n,), (4,)]
    names = ("log_psi", "U", "G", "V", "S", "b_z", "b_y")
    values = [0.5 * torch.randn(s, generator=g, dtype=torch.float64) for s in shapes]
    sigma = Sigma.of(kind or ReLU(), n)
    return LBEN(**dict(zip(names, values, strict=True)), sigma=sigma, lip=2.0, eps=1e-3).freeze()


def mondeq(seed, n=10, m=0.5):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((2, n, n)) / np.sqrt(n)
    arrays = (
        (1 - m) * np.eye(n) - A.T @ A + B - B.T,
        rng.normal(size=(n, D)),
        rng.normal(size=(4, n)),
    )
    parts = [*map(tensor, arrays), tensor(rng.normal(size=n)), tensor(np.zeros(4))]
    return Equilibrium(*parts, Sigma.of(ReLU(), n), Origin("mondeq", {"m": m}))


def tanh(seed):
    return Network([normalize(), lben(seed, n=3, kind=Tanh())])


NETWORKS = {
    "explicit": explicit,
    "triangular": lambda s: equilibrium_from_network(Network([normalize(), *sll(s, 4)])),
    "lben": lambda s: Network([normalize(), lben(s)]),
    "reparametrized": lambda s: reparametrize(Network([normalize(), *sll(s, 4)])).freeze(),
    "mondeq": lambda s: Network([normalize(), mondeq(s)]),
}


def claimed(network, proof, n=40, seed=0, divisor=255):
    """The claims of an honest run; every sixth label is wrong."""
    raw = np.random.default_rng(seed).integers(0, 256, (n, D), np.uint8)
    label = Evaluator(network)(torch.tensor(raw / 255)).argmax(dim=1).numpy()
    label[::6] = (label[::6] + 1) % network.classes
    about = {"classes": network.classes, "shape": (D,)}
    if divisor:
        data = Dataset.from_raw("random", "test", raw, label, divisor=divisor, **about)
    else:
        data = Dataset("random", "test", raw / 255, label, **about)
    radii = certify(network, proof, data.x, data.label, keep_states=True)
    return claims_of(radii, data, parse_eps("36/255,0.01,1e-3"))


def recount(claims):
    good = claims.status == CERTIFIED
    counts = {t: int((good & (claims.radius_lower >= e)).sum()) for t, e in claims.eps.items()}
    natural = int((claims.predicted == claims.label).sum())
    return replace(claims, natural_correct=natural, certified_correct=counts)


def verdict(path, network, proofs, lip, claims):
    write_certificate(path, network, proofs, lip, claims)
    return check_certificate(path)


@functools.cache
def honest(make, seed, divisor=255):
    """One network, its proof and its claims; none of them is ever changed."""
    network = make(seed)
    proof = prove(network)
    return network, proof, claimed(network, proof, divisor=divisor)


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


IMAGES = {
    "circular": lambda s: conv_nets.network(s),
    "zero": lambda s: conv_nets.network(s, "zero"),
    "lben on a torus": lambda s: Network([conv_nets.conv_lben(s, 3, 2, 2, 5, 6)]),
    "wide lben": lambda s: Network([conv_nets.conv_lben(s, 3, 2, 1, 9, 8)]),
    "mondeq on a torus": lambda s: Network(
        [conv_nets.conv_mondeq(s, q=2, height=4, width=3, m=1.0), Resize(24, 3)]
    ),
    "strides": lambda s: Network(
        [
            Window(2, 4, 6, -1, 1, 3, 2, 2, 2),
            conv_nets.convolution(s, 2, 8, (2, 2), 3, 2, "zero"),
            GroupSort(12, 2, 6),
        ]
    ),
}


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
