"""Equilibria that float32 programs run for a fixed number of steps: within their bound all over a ball."""

import numpy as np
import pytest
import torch
from certify_nets import NETWORKS, affine, mondeq_block, samples
from conv_nets import conv_lben

from certlip.blocks import Equilibrium, Network, Sigma
from certlip.blocks.activations import ReLU, Tanh
from certlip.certification import Certifier, Status, certify, falsify
from certlip.certification.enclosure import Encloser
from certlip.certification.float32 import Deployed
from certlip.certification.float32 import steps as bounding
from certlip.certification.semantics import Steps, parse_semantics
from certlip.errors import InconclusiveError, InputError, UnsupportedError
from certlip.lmi import prove
from certlip.lmi.search import Search
from certlip.solvers import Evaluator
from certlip.solvers.steps import Stepped


def gentle(seed=0, sigma=None):
    """‖W‖ is far below 1, so that steps of any length contract; logits follow."""
    rng = np.random.default_rng(seed)
    n = 9
    W = rng.standard_normal((n, n))
    parts = [
        0.6 * W / np.linalg.norm(W, 2),
        rng.standard_normal((n, 4)),
        rng.standard_normal((5, n)),
    ]
    parts += [rng.standard_normal(n), rng.standard_normal(5)]
    tensors = [torch.from_numpy(np.ascontiguousarray(A)) for A in parts]
    block = Equilibrium(*tensors, sigma or Sigma.of(ReLU(), n))
    return Network([affine(rng.standard_normal((4, 4)), rng.standard_normal(4)), block])


def proven(network):
    return prove(network, search=Search("structured"))


def bound_and_worst(network, proof, steps, r=0.5, seed=0):
    """E over the balls around some samples, and the largest distance of float32 logits in each."""
    x, _ = samples(network, 3, seed)
    E = Deployed(network, proof, steps).error(Encloser(network, proof)(x).norms, np.full(3, r))
    rng, worst = np.random.default_rng(seed), []
    exact, program = Evaluator(network, tol=1e-13), Stepped(network, steps.count, steps.alpha)
    for centre in x:
        away = rng.standard_normal((200, x.shape[1]))
        away *= r * rng.random((200, 1)) ** 0.2 / np.linalg.norm(away, axis=1, keepdims=True)
        inside = (centre + away).astype(np.float32)
        y = exact(torch.from_numpy(inside.astype(np.float64))).numpy()
        found = program(torch.from_numpy(inside)).numpy().astype(np.float64)
        worst.append(np.linalg.norm(found - y, axis=1).max())
    return E, np.array(worst)


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("count", [1, 2, 5, 40, 400])
@pytest.mark.parametrize("seed", range(3))
def test_logits_are_within_their_bound(seed, count, alpha):
    network = gentle(seed)
    E, worst = bound_and_worst(network, proven(network), Steps(count, alpha))
    assert (worst <= E).all()
    assert count < 40 or (E < 2e-2).all()
    if count == 1:
        assert (worst > 0.01 * E).all()  # truncation is real, and its bound not far above it


@pytest.mark.parametrize("seed", range(2))
def test_other_functions_and_families(seed):
    tanh = gentle(seed, Sigma.of(Tanh(), 9))
    mixed = Network([mondeq_block(seed)])
    for network, steps in ((tanh, Steps(100)), (mixed, Steps(3000, 0.05))):
        proof = prove(network) if network is mixed else proven(network)
        E, worst = bound_and_worst(network, proof, steps)
        assert (worst <= E).all()
        assert (E < 0.1).all()


def test_each_part_of_the_bound_counts(monkeypatch):
    network = gentle(1)
    proof = proven(network)
    for name, value, count in (("left", 0.0, 2), ("gain", 0.0, 400)):
        deployed = Deployed(network, proof, Steps(count))
        before = deployed.error(np.full((1, 2), 3.0), np.zeros(1))
        monkeypatch.setattr(deployed.local[1], name, value)
        assert deployed.error(np.full((1, 2), 3.0), np.zeros(1)) < 0.9 * before
    # without truncation the bound of two steps would be wrong
    true = bounding.StepsError.__init__

    def forgets(self, *arguments):
        true(self, *arguments)
        self.left = 0.0

    monkeypatch.setattr(bounding.StepsError, "__init__", forgets)
    E, worst = bound_and_worst(network, proof, Steps(2))
    assert (worst > E).any()


def test_rounding_adds_up_where_steps_contract_slowly():
    """ρ = 0.999: the error of a step is multiplied by a thousand, and so is what is allowed."""
    W, one = torch.tensor([[0.999]]).double(), torch.ones(1, 1).double()
    rng = np.random.default_rng(0)
    zero = torch.zeros(1).double()
    block = Equilibrium(
        W,
        one,
        torch.tensor([[1.0], [-1.0]]).double(),
        zero,
        torch.zeros(2).double(),
        Sigma.of(ReLU(), 1),
    )
    network = Network([block])
    proof = proven(network)
    x = np.abs(rng.standard_normal((50, 1))).astype(np.float32)
    y = Stepped(network, 40_000)(torch.from_numpy(x)).numpy().astype(np.float64)
    true = 1000.0 * x.astype(np.float64) * np.array([[1.0, -1.0]]) * (0.001 / (1.0 - W.item()))
    off = np.linalg.norm(y - true, axis=1)
    norms = np.abs(x.astype(np.float64))
    E = Deployed(network, proof, Steps(40_000)).error(norms, np.zeros(50))
    assert (off <= E).all()
    assert (off > 100 * 2.0**-24 * np.linalg.norm(true, axis=1)).any()


def test_refusals_say_why():
    network = Network([conv_lben()])
    with pytest.raises(UnsupportedError, match="solved to a tolerance"):
        Deployed(network, prove(network), Steps(10))
    tanh = gentle(0, Sigma.of(Tanh(), 9))
    with pytest.raises(
        UnsupportedError, match=r"block 1 \(equilibrium\): .*another fixed point with tanh"
    ):
        Deployed(tanh, proven(tanh), Steps(10, 0.5))
    steep = Network([mondeq_block(0)])
    with pytest.raises(InconclusiveError, match="not proven to contract"):
        Deployed(steep, prove(steep), Steps(10))
    with pytest.raises(UnsupportedError, match="float32:K"):
        Certifier(gentle(), proven(gentle()), semantics="float32")


@pytest.mark.parametrize(
    ("text", "steps"),
    [("float32:7", Steps(7)), ("float32:20:0.25", Steps(20, 0.25)), ("float32", None)],
)
def test_semantics_are_read(text, steps):
    assert parse_semantics(text).steps == steps
    assert parse_semantics(text).name == "float32"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "float16",
            "float32:0",
            "float32:-1",
            "float32:5:0",
            "float32:5:1.5",
            "float32:",
            "real:5",
        ),
        *("float32:5:nan", "float32:999999", "float32:1e3", "", "float32:5:"),
    ],
)
def test_other_semantics_are_refused(text):
    with pytest.raises(InputError, match="expected"):
        parse_semantics(text)


def test_certified_radii_survive_the_rounding_attack():
    network = gentle(2)
    proof = proven(network)
    x, label = samples(network, 24, 1)
    real = certify(network, proof, x, label)
    found = certify(network, proof, x, label, semantics="float32:60")
    sure = found.status == Status.CERTIFIED
    assert sure.sum() >= 10
    assert (found.radius_lower <= real.radius_lower).all()
    few = certify(network, proof, x, label, semantics="float32:4")
    assert few.radius_lower.sum() < 0.9 * found.radius_lower.sum()
    options = {"attacks": ("ascent", "rounding"), "seed": 0}
    claims = (x[sure], found.predicted[sure], found.radius_lower[sure])
    assert not falsify(network, proof, *claims, semantics="float32:60", **options).broken
    # one step stops far from the equilibrium: a radius of the real network is no radius of its logits
    claims = (x[sure], real.predicted[sure], real.radius_lower[sure])
    broken = falsify(network, proof, *claims, semantics="float32:1", **options).broken
    assert broken
    assert {c.semantics for c in broken} == {"float32:1"}
    assert all(c.holds(network, proof) for c in broken)


def test_a_network_without_equilibria_is_the_same_program():
    network = NETWORKS["explicit"](0)
    x, label = samples(network, 6)
    plain, stepped = (
        certify(network, prove(network), x, label, semantics=s) for s in ("float32", "float32:3")
    )
    assert (plain.radius_lower == stepped.radius_lower).all()


def tiny(W, U, G, b_y):
    W, U, G, b_y = (torch.tensor(A, dtype=torch.float64) for A in (W, U, G, b_y))
    b_z = torch.zeros(len(W), dtype=torch.float64)
    return Equilibrium(W, U, G, b_z, b_y, Sigma.of(ReLU(), len(W)))


@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_truncation_of_a_scalar_is_attained(count):
    """z_k = (1 − wᵏ)z* for z = wz + x: the bound is what is missing, and rounding."""
    network = Network([tiny([[0.75]], [[1.0]], [[1.0], [0.0]], [0.0, 0.0])])
    E = Deployed(network, proven(network), Steps(count)).error(np.full((1, 1), 3.0), np.zeros(1))
    missing = 0.75**count * 12.0
    y = Stepped(network, count)(torch.full((1, 1), 3.0))
    assert 12.0 - y[0, 0].item() == pytest.approx(missing, rel=1e-5)
    assert missing * (1 - 1e-6) <= E[0] <= missing * 1.01 + 1e-5


def test_sums_of_inputs_are_rounded():
    network = Network([tiny([[0.0]], [[1.0] * 300], [[1.0], [0.0]], [0.0, 0.0])])
    E = Deployed(network, proven(network), Steps(1)).error(np.full((1, 1), 2.0), np.zeros(1))
    assert E[0] >= 300 * 2.0**-24 * np.sqrt(300) * 2.0


def test_a_large_bias_of_the_output_is_rounded():
    rng = np.random.default_rng(0)
    b_y = 1e6 * rng.standard_normal(20)
    network = Network([tiny([[0.1]], [[1.0]], rng.standard_normal((20, 1)), b_y)])
    E, worst = bound_and_worst(network, proven(network), Steps(30))
    assert (worst > 0.01).all()
    assert (worst <= E).all()


def test_the_contraction_is_measured_in_the_norm_of_gam():
    block = tiny([[0.0, 10.0], [0.0, 0.0]], [[1.0], [1.0]], [[1.0, 0.0]], [0.0])
    for gam, alpha, true in (([1.0, 1e3], 1.0, 10 / np.sqrt(1e3)), ([4.0, 1.0], 1.0, 20.0)):
        found = bounding.contraction(block, np.array(gam), alpha)
        assert true * (1 - 1e-15) <= found <= true * (1 + 1e-6)
    shifted = tiny([[-0.5]], [[1.0]], [[1.0]], [0.0])
    assert bounding.contraction(shifted, np.ones(1), 0.4) == pytest.approx(0.6 - 0.2)
