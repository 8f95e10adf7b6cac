"""Float32 semantics of whole networks: logits within E_K(r) everywhere in the ball, the class kept."""

import numpy as np
import pytest
import torch
from certify_nets import NETWORKS, affine, lben_block, normalize, samples, tensor
from conv_nets import conv_lben

from certlip.blocks import (
    Activation,
    Convolution,
    GroupSort,
    Network,
    Normalize,
    Pooling,
    Residual,
    Resize,
    Sigma,
)
from certlip.blocks.activations import LeakyReLU, ReLU, Tanh
from certlip.certification import Certifier, Status, certify
from certlip.certification.enclosure import Encloser
from certlip.certification.float32 import Deployed
from certlip.certification.float32 import deployed as deployed_module
from certlip.errors import InconclusiveError, InputError, UnsupportedError
from certlip.lmi import prove
from certlip.solvers import Evaluator
from certlip.solvers.substitution import Substitution


def deep(seed=0, width=20):
    """Affine blocks around every other dense kind; weights far from what training gives."""
    rng = np.random.default_rng(seed)
    W, q = rng.standard_normal((width, 8)), np.exp(rng.standard_normal(8))
    D = 0.999 / (np.abs(W.T @ W) * q / q[:, None]).sum(axis=1)
    sigma = Sigma(((ReLU(), 6), (LeakyReLU(0.3), 7), (Tanh(), 7)))
    return Network(
        [
            normalize(6),
            affine(3.0 * rng.standard_normal((width, 6)), rng.standard_normal(width)),
            Activation(sigma),
            Residual(tensor(W), tensor(D), tensor(rng.standard_normal(8)), Sigma.of(ReLU(), 8)),
            GroupSort(width, 2, 1),
            affine(rng.standard_normal((4, width)), 1e3 * rng.standard_normal(4)),
        ]
    )


def images(seed=0):
    rng = np.random.default_rng(seed)
    K = tensor(rng.standard_normal((3, 2, 3, 3)))
    return Network(
        [
            Convolution(
                K, tensor(rng.standard_normal(3)), 4, 4, "zero" if seed % 2 else "circular"
            ),
            Activation(Sigma.of(ReLU(), 48)),
            Pooling(3, 4, 4, 2),
            affine(rng.standard_normal((3, 12)), rng.standard_normal(3)),
        ]
    )


def one_layer(seed=0):
    """A triangular equilibrium that is no chain: its first states are not what its output reads."""
    block = lben_block(seed)
    W = torch.tril(block.W, -1) * 0.2
    return Network([type(block)(W, block.U, block.G, block.b_z, block.b_y, block.sigma)])


COVERED = {
    "affine": NETWORKS["affine"],
    "explicit": NETWORKS["explicit"],
    "deep": deep,
    "images": images,
    "chain": NETWORKS["triangular"],
    "substitution": one_layer,
}

#: μ of (3) is small for a network with weights that differ by orders of magnitude, and counts twice.
COARSE = {"chain": 0.2}


def points(x, r, n, seed=0):
    """Float32 points of the ball around x (d,), the boundary among them."""
    rng = np.random.default_rng(seed)
    d = rng.standard_normal((n, len(x)))
    d[: len(x)] = np.eye(len(x))[:n]
    d *= (rng.uniform(0, 1, (n, 1)) ** (1 / len(x)) + (rng.uniform(size=(n, 1)) < 0.5)).clip(0, 1)
    found = (x + r * d / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1.0)).astype(
        np.float32
    )
    inside = np.linalg.norm(found.astype(np.float64) - x, axis=1) <= r
    return np.concatenate([found[inside], x.astype(np.float32)[None]])


def evaluations(network, x):
    """Float32 logits (n, classes) by batches of different sizes and, of blocks W, orders of columns."""
    evaluator = Evaluator(network, dtype=torch.float32)
    x = torch.from_numpy(x)
    yield evaluator(x)
    yield torch.cat([evaluator(row[None]) for row in x[:16]])
    yield torch.cat([evaluator(part) for part in x.split(7)])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", COVERED)
@pytest.mark.parametrize("r", [0.0, 1e-3, 1.0, 100.0])
def test_float32_logits_are_within_their_bound_all_over_the_ball(name, seed, r):
    network = COVERED[name](seed)
    proof = prove(network)
    centres, _ = samples(network, 3, seed)
    bound = Deployed(network, proof).error(
        Encloser(network, proof)(centres).norms, np.full(3, r, dtype=np.float64)
    )
    exact = Evaluator(network, tol=1e-13)
    for x, E in zip(centres, bound, strict=True):
        # what the statement is about: points that are cast, x itself among them
        inside = points(x, r, 400, seed)
        y = exact(torch.from_numpy(inside.astype(np.float64))).numpy()
        at_x = exact(torch.from_numpy(x[None])).numpy()
        for found in evaluations(network, inside):
            error = np.linalg.norm(found.numpy().astype(np.float64) - y[: len(found)], axis=1)
            assert error.max() <= E
            if len(found) == len(inside):
                assert np.linalg.norm(found[-1].numpy() - at_x) <= E
        assert COARSE.get(name, 1e-2) * (1.0 + r) * (1.0 + np.linalg.norm(at_x)) > E


@pytest.mark.parametrize("seed", range(3))
def test_substitution_row_by_row_is_covered_too(seed):
    # of a chain, the equilibrium solved with W itself; of any, with rows in any order of sums
    for network in (NETWORKS["triangular"](seed), one_layer(seed)):
        block, proof = network.blocks[-1], prove(network)
        x, _ = samples(Network([block]), 50, seed)
        before = Network(network.blocks[-1:])
        own = prove(before)
        E = Deployed(before, own).error(Encloser(before, own)(x).norms, np.zeros(50))
        x32 = torch.from_numpy(x.astype(np.float32))
        U, W, G = (a.float() for a in (block.U, block.W, block.G))
        z = Substitution(W, block.sigma).solve(x32 @ U.T + block.b_z.float()).z
        y = (z @ G.T + block.b_y.float()).double().numpy()
        exact = Evaluator(before)(torch.from_numpy(x)).numpy()
        assert (np.linalg.norm(y - exact, axis=1) <= E).all()
        assert len(proof.blocks) == len(network.blocks)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", COVERED)
def test_the_class_is_kept_and_little_radius_lost(name, seed):
    network = COVERED[name](seed)
    x, label = samples(network, 40, seed)
    proof = prove(network)
    real = certify(network, proof, x, label)
    both = certify(network, proof, x, label, semantics="float32")
    np.testing.assert_array_equal(both.predicted, real.predicted)
    assert (both.radius_lower <= real.radius_lower).all()
    assert (both.margin_lower <= real.margin_lower).all()
    assert both.radius_lower.sum() > (1.0 - COARSE.get(name, 1e-2)) * real.radius_lower.sum()
    for i in np.flatnonzero(both.status == Status.CERTIFIED)[:15]:
        inside = points(x[i], both.radius_lower[i], 300, seed)
        for y in evaluations(network, inside):
            assert (y.argmax(dim=1) == int(label[i])).all()


@pytest.mark.parametrize("scale", [1e3, 1e5, 1e7])
def test_margins_near_rounding_are_not_certified_where_float32_loses_them(scale):
    """Logits that share a large term: what differs between them is lost in float32, not in float64."""
    rng = np.random.default_rng(0)
    common = scale * rng.standard_normal(8)
    W = common + 0.1 * rng.standard_normal((4, 8))
    network = Network([affine(W, rng.standard_normal(4))])
    x, label = samples(network, 200)
    proof = prove(network)
    real = certify(network, proof, x, label)
    both = certify(network, proof, x, label, semantics="float32")
    broken = 0
    for i in np.flatnonzero(real.status == Status.CERTIFIED):
        y = Evaluator(network, dtype=torch.float32)(
            torch.from_numpy(x[i : i + 1].astype(np.float32))
        )
        top, wrong = y.max(), int(y.argmax()) != label[i]
        tied = int((y == top).sum()) > 1
        broken += wrong or tied
        assert not ((wrong or tied) and both.status[i] == Status.CERTIFIED)
    assert scale < 1e5 or broken > 0  # the test can fail: real semantics does certify such samples
    kept = (both.status == Status.CERTIFIED).sum()
    assert (kept > 100) if scale < 1e5 else (kept < (real.status == Status.CERTIFIED).sum())
    assert (both.status[real.status == Status.CERTIFIED] != Status.MISCLASSIFIED).all()


def test_the_radius_is_as_large_as_the_inequality_lets_it_be():
    rng = np.random.default_rng(0)
    W = 300.0 + rng.standard_normal((4, 8))
    network = Network([affine(W, rng.standard_normal(4))])
    x, label = samples(network, 50)
    proof = prove(network)
    real = certify(network, proof, x, label)
    both = certify(network, proof, x, label, semantics="float32")
    deployed, encloser = Deployed(network, proof), Encloser(network, proof)
    certifier = Certifier(network, proof, semantics="float32")
    kept = both.status == Status.CERTIFIED
    assert kept.sum() > 20
    H, r = encloser(x).norms, both.radius_lower
    y = Evaluator(network)(torch.from_numpy(x)).numpy()
    margins = y[np.arange(50), label][:, None] - y
    margins[np.arange(50), label] = np.inf
    left = margins - certifier.bounds[label] * r[:, None]
    left = (left - np.sqrt(2.0) * deployed.error(H, r)[:, None]).min(axis=1)
    assert (left[kept] > 0.0).all()
    # no more than a millionth is left over of the margin
    assert (left[kept] < 1e-6 * margins.min(axis=1)[kept] + 1e-9).all()
    assert (r[kept] < real.radius_lower[kept]).all()
    smaller = deployed.error(H, 0.5 * r)
    assert (smaller < deployed.error(H, r)).all()


def test_no_radius_is_believed_without_the_inequality(monkeypatch):
    rng = np.random.default_rng(0)
    network = Network([affine(300.0 + rng.standard_normal((4, 8)), rng.standard_normal(4))])
    x, label = samples(network, 50)
    proof = prove(network)
    both = certify(network, proof, x, label, semantics="float32")
    longer = (-10.0, -0.3, -0.1, -0.03, -0.01, -1e-3, -1e-4)
    monkeypatch.setattr(deployed_module, "SHORTER", (*longer, *deployed_module.SHORTER))
    again = certify(network, proof, x, label, semantics="float32")
    np.testing.assert_array_equal(again.radius_lower, both.radius_lower)


def lost(p):
    """(1 + 2⁻¹², 2⁻¹², …): in the sum of its squares from left to right only the first is left."""
    a = np.full(p, 2.0**-12)
    a[0] += 1.0
    return a, (1.0 + 2.0**-11) - float(a @ a)


def test_an_error_grows_with_the_blocks_behind_it():
    a, error = lost(256)
    network = Network([affine(a[None]), affine([[1000.0], [0.0]])])
    proof = prove(network)
    E = Deployed(network, proof).error(Encloser(network, proof)(a[None]).norms, np.zeros(1))
    assert 0.9 * E < 1000.0 * abs(error) <= E


def test_numbers_grow_with_the_ball():
    # around 0 nothing is rounded; at the other end of the ball the numbers are 64 times its radius
    a, error = lost(256)
    grow = Normalize(tensor(0 * a), tensor(np.full(256, 1 / 64)))
    network = Network([grow, affine(np.stack([a, 0 * a]))])
    proof = prove(network)
    r = np.full(1, np.linalg.norm(a) * (1 + 1e-12))
    E = Deployed(network, proof).error(Encloser(network, proof)(0 * a[None]).norms, r)
    assert 0.4 * E < 64.0 * abs(error) <= E


def test_an_input_that_is_no_float32_number_is_cast():
    network = Network([Resize(2, 3)])
    proof = prove(network)
    x = np.array([[1.0 + 2.0**-24 - 2.0**-50, 0.0]])
    E = Deployed(network, proof).error(Encloser(network, proof)(x).norms, np.zeros(1))
    y = Evaluator(network, dtype=torch.float32)(torch.from_numpy(x.astype(np.float32)))
    error = abs(float(y[0, 0]) - x[0, 0])
    assert 0.99 * E < error <= E


def test_numbers_that_overflow_in_float32_are_not_certified():
    grow, shrink = affine(1e30 * np.eye(3)), affine(1e-30 * np.eye(3))
    network = Network([grow, grow, shrink, shrink])
    x, label = samples(network, 10)
    proof = prove(network)
    assert (certify(network, proof, x, label).status == Status.CERTIFIED).all()
    both = certify(network, proof, x, label, semantics="float32")
    assert (both.status == Status.UNKNOWN).all()
    assert (both.radius_lower == 0.0).all()
    assert (both.margin_lower == 0.0).all()
    large = Network([affine(1e39 * np.eye(3))])
    with pytest.raises(InconclusiveError, match=r"block 0 \(affine\): .* overflows in float32"):
        certify(large, prove(large), x, label, semantics="float32")


REFUSED = {
    "solved to a tolerance": [lambda: NETWORKS["lben"](0), lambda: NETWORKS["mondeq"](0)],
    "by frequencies": [
        lambda: Network(
            [Convolution(torch.ones(1, 1, 8, 8).double(), tensor([0.0]), 8, 8, "circular")]
        )
    ],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_evaluations_without_a_bound_are_refused_with_the_reason(reason):
    for make in REFUSED[reason]:
        network = make()
        proof = prove(network)
        with pytest.raises(UnsupportedError, match=rf"block \d \(.*\): .*{reason}"):
            Certifier(network, proof, semantics="float32")
        assert Certifier(network, proof).deployed is None
    equilibrium = Network([conv_lben()])
    with pytest.raises(UnsupportedError, match=r"conv-equilibrium.*solved to a tolerance"):
        Deployed(equilibrium, prove(equilibrium))


def test_other_semantics_are_no_option():
    network = NETWORKS["affine"](0)
    with pytest.raises(InputError, match="expected real or float32"):
        Certifier(network, prove(network), semantics="float16")


def test_rows_without_a_radius_stay_without_one():
    network = NETWORKS["explicit"](0)
    x, label = samples(network, 6)
    x[3] = np.nan
    x[4] = 1e300
    label[5] = (label[5] + 1) % 3
    with np.errstate(all="ignore"):
        both = certify(network, prove(network), x, label, semantics="float32")
    assert both.status[3] == Status.ERROR
    assert both.status[4] != Status.CERTIFIED
    assert both.status[5] == Status.MISCLASSIFIED
    assert (both.radius_lower[3:] == 0.0).all()
    assert (both.margin_lower >= 0.0).all()
