"""Every dense family: trainable, frozen to the same function, proven, rebuilt as an LBEN; one row each."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from certlip.blocks import Block, Equilibrium, Network, Origin, Sigma
from certlip.blocks.activations import ELU, LeakyReLU, ReLU, Tanh
from certlip.equilibrium import LBEN, MonDEQ
from certlip.errors import InputError
from certlip.layers import AOLDense, CPLDense, OrthogonalDense, SandwichDense, SLLDense
from certlip.layers.orthogonal import cayley
from certlip.linalg.gram import gram_norm
from certlip.lmi import prove
from certlip.reparam import equilibrium_from_network, reparametrize
from certlip.solvers import Evaluator

R = ReLU()
#: name → (layers for input width d, prescribed Lipschitz bound)
FAMILIES = {
    "sll": (lambda d: [SLLDense(d, 30) for _ in range(3)], 1.0),
    "sll tanh": (lambda d: [SLLDense(d, 12, Tanh()) for _ in range(2)], 1.0),
    "cpl": (lambda d: [CPLDense(d, 30) for _ in range(3)], 1.0),
    "cpl leaky": (lambda d: [CPLDense(d, 9, LeakyReLU(0.3)) for _ in range(2)], 1.0),
    "aol": (lambda d: [AOLDense(d, 40, R), AOLDense(40, 15, R), AOLDense(15, 10)], 1.0),
    "orthogonal": (lambda d: [OrthogonalDense(d, 30, R), OrthogonalDense(30, 10)], 1.0),
    "orthogonal elu": (lambda d: [OrthogonalDense(d, d, ELU()), OrthogonalDense(d, 10)], 1.0),
    "sandwich": (lambda d: [SandwichDense(d, 40, 30), SandwichDense(30, 10, 10)], 1.0),
    "sandwich wide": (lambda d: [SandwichDense(d, 80, 10)], 1.0),
    "sandwich half": (lambda d: [SandwichDense(d, 30, 10, lip=0.5)], 0.5),
    "sandwich ten": (
        lambda d: [SandwichDense(d, 30, 20, lip=5.0), SandwichDense(20, 9, 10, lip=2.0)],
        10.0,
    ),
    "mondeq": (lambda d: [MonDEQ(d, 30, m=1.0, lip=1.0)], 1.0),
    "mondeq output": (lambda d: [MonDEQ(d, 30, 10, m=0.5, lip=2.0)], 2.0),
    "g-mondeq": (lambda d: [MonDEQ(d, 30, 10, m=1.0, lip=0.5, generalized=True)], 0.5),
    "mixed": (
        lambda d: [SLLDense(d, 9), AOLDense(d, 14, R), MonDEQ(14, 9, 10, lip=10.0)],
        10.0,
    ),
}


def make(name: str, d: int, seed: int, spread: float = 0.3):
    """Layers in float64 with every parameter moved away from its initial value."""
    torch.manual_seed(seed)
    layers = torch.nn.ModuleList(FAMILIES[name][0](d)).double()
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter += spread * torch.randn_like(parameter)
    return layers


def frozen(layers) -> Network:
    blocks: list[Block] = []
    for layer in layers:
        result = layer.freeze()
        blocks.extend(result if isinstance(result, list) else [result])
    return Network(blocks)


def run(layers, x):
    for layer in layers:
        x = layer(x)
    return x


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("d", [10, 25])
@pytest.mark.parametrize("name", FAMILIES)
def test_freeze_keeps_the_function_and_the_bound_is_proven(name, d, seed):
    layers = make(name, d, seed)
    network, x = frozen(layers), torch.randn(16, d, dtype=torch.float64)
    with torch.no_grad():
        assert (run(layers, x) - Evaluator(network)(x)).abs().max() < 1e-7
    assert prove(network).lip.value <= FAMILIES[name][1] * (1 + 1e-6)


@pytest.mark.parametrize("d", [10, 25])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_lben_has_the_same_function_and_bound(name, d):
    network = frozen(make(name, d, seed=3))
    x = torch.randn(16, d, dtype=torch.float64)
    parts = reparametrize(network)
    assert isinstance(parts.lben, LBEN)
    assert parts.lben.lip <= FAMILIES[name][1] * (1 + 1e-6)
    rebuilt = parts.freeze()
    with torch.no_grad():
        assert (Evaluator(rebuilt)(x) - Evaluator(network)(x)).abs().max() < 1e-9
    assert prove(rebuilt).lip.value <= parts.lben.lip * (1 + 1e-6)
    one = equilibrium_from_network(network)
    assert len(one.blocks) == 1
    with torch.no_grad():
        assert (Evaluator(one)(x) - Evaluator(network)(x)).abs().max() < 1e-9
    assert prove(one).lip.value <= FAMILIES[name][1] * (1 + 2e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_slope_is_above_the_bound(name):
    layers = make(name, 10, seed=5, spread=0.6)
    x = torch.randn(400, 10, dtype=torch.float64)
    y = x + 1e-3 * torch.randn_like(x)
    with torch.no_grad():
        slopes = (run(layers, x) - run(layers, y)).norm(dim=1) / (x - y).norm(dim=1)
    assert slopes.max() <= FAMILIES[name][1] * (1 + 1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_all_parameters(name):
    """Implicit and explicit gradients against central differences along random directions."""
    layers = make(name, 10, seed=7, spread=0.2)
    x = torch.randn(3, 10, dtype=torch.float64)
    torch.manual_seed(11)
    weight = torch.randn_like(run(layers, x).detach())

    def value() -> torch.Tensor:
        return (run(layers, x) * weight).sum()

    value().backward()
    scale = float(weight.norm())
    for key, parameter in layers.named_parameters():
        direction = torch.randn_like(parameter)
        assert parameter.grad is not None, key
        slope = float((parameter.grad * direction).sum())
        assert slope == pytest.approx(
            central(value, parameter, direction), rel=1e-6, abs=1e-6 * scale
        ), key


def central(value, parameter, direction) -> float:
    """The derivative along a direction by differences of fourth order, the best agreeing of a few steps."""
    found = []
    for h in (1e-3, 1e-4, 1e-5):
        values = {}
        with torch.no_grad():
            for step in (-2, -1, 1, 2):
                parameter += step * h * direction
                values[step] = float(value())
                parameter -= step * h * direction
        found.append((8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h))
    # a kink of ReLU inside of a step spoils that step alone
    return min(itertools.pairwise(found), key=lambda pair: abs(pair[0] - pair[1]))[1]


@pytest.mark.parametrize("name", FAMILIES)
def test_training_the_lben_stays_inside_the_bound(name):
    network = frozen(make(name, 10, seed=9))
    parts = reparametrize(network)
    parts.lben.eps = 1e-9
    optimizer = torch.optim.SGD(parts.lben.parameters(), lr=1e-2)
    x = torch.randn(8, 10, dtype=torch.float64)
    for _ in range(3):
        optimizer.zero_grad()
        parts.lben(x).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(parts.lben.parameters(), 1.0)
        optimizer.step()
    assert prove(parts.freeze()).lip.value <= parts.lben.lip * (1 + 1e-6)


@pytest.mark.parametrize(("m", "n"), [(5, 5), (9, 4), (4, 9), (1, 6)])
def test_cayley_is_semi_orthogonal(m, n):
    Q = cayley(torch.randn(m, n, dtype=torch.float64))
    small = Q @ Q.T if m < n else Q.T @ Q
    assert (small - torch.eye(min(m, n))).abs().max() < 1e-13


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e3, 1e30])
@pytest.mark.parametrize("shape", [(6, 6), (20, 5), (5, 20), (40, 40)])
def test_gram_iteration_is_an_upper_bound_and_tight(shape, scale):
    W = scale * torch.randn(3, *shape, dtype=torch.float64)
    true = torch.linalg.matrix_norm(W, 2)
    bound = gram_norm(W)
    assert (bound >= true * (1 - 1e-12)).all()
    assert (bound <= true * 1.002).all()
    assert (gram_norm(W, steps=1) >= bound * (1 - 1e-12)).all()


def test_cpl_with_a_power_iteration_would_be_no_bound():
    """The pitfall: five steps of power iteration give a norm that is too small, and L > 1 is proven."""
    from certlip.blocks import Residual

    torch.manual_seed(0)
    [block] = CPLDense(20, 30).double().freeze()
    assert isinstance(block, Residual)
    v = torch.randn(30, dtype=torch.float64)
    for _ in range(5):
        v = block.W.T @ (block.W @ (v / v.norm()))
    too_small = torch.full_like(block.D, float(1.0 / v.norm()))
    wrong = Residual(block.W, too_small, block.b, block.sigma)
    assert prove(Network([block])).lip.value == 1.0
    assert prove(Network([wrong])).lip.value > 1.0


def test_a_normalized_head_certifies_with_its_own_pair_constants():
    from certlip.certification import certify
    from certlip.layers import NormalizedHead

    head = NormalizedHead(6, 4).double()
    with torch.no_grad():
        head.weight.normal_()
        head.bias.normal_()
    network = Network(head.freeze())
    [block] = network.blocks
    W = block.arrays()["W"]
    assert (W.norm(dim=1) - 1).abs().max() < 1e-15
    x = torch.randn(30, 6, dtype=torch.float64)
    with torch.no_grad():
        y = head(x)
    assert (Evaluator(network)(x) - y).abs().max() < 1e-14
    a = y.argmax(dim=1)
    radii = certify(network, prove(network), x.numpy(), a.numpy())
    gaps = y.gather(1, a[:, None]) - y
    exact = gaps / (W[a][:, None, :] - W[None]).norm(dim=2)
    exact[torch.arange(30), a] = torch.inf
    exact = exact.min(dim=1).values.numpy()
    assert (radii.radius_lower < exact).all()
    assert (radii.radius_lower > exact * (1 - 1e-9)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FAMILIES)
def test_zero_weights_have_values_and_gradients(name, dtype):
    layers = make(name, 10, seed=1).to(dtype)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.zero_()
    x = torch.randn(4, 10, dtype=dtype)
    y = run(layers, x)
    (y - 1.0).square().sum().backward()
    assert torch.isfinite(y).all()
    for key, parameter in layers.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key
    with torch.no_grad():
        assert (Evaluator(frozen(layers))(x.double()) - y).abs().max() < 1e-6


@pytest.mark.parametrize("scale", [1e-160, 1e200, float("nan")])
def test_a_cpl_layer_whose_step_is_no_number_is_refused(scale):
    layer = CPLDense(4, 3).double()
    with torch.no_grad():
        layer.weight *= scale
    with pytest.raises(InputError, match="expected a positive number"):
        layer.freeze()


def test_a_zero_layer_is_frozen_and_proven():
    layer = CPLDense(4, 3).double()
    with torch.no_grad():
        layer.weight.zero_()
    network = Network(layer.freeze())
    x = torch.randn(2, 4, dtype=torch.float64)
    assert torch.equal(Evaluator(network)(x), x)
    assert prove(network).lip.value == 1.0


@pytest.mark.parametrize(
    "build",
    [
        lambda: SLLDense(0, 3),
        lambda: CPLDense(3, 0),
        lambda: AOLDense(0, 3),
        lambda: OrthogonalDense(3, 0),
        lambda: SandwichDense(3, 0, 2),
        lambda: SandwichDense(3, 2, 2, lip=0.0),
        lambda: MonDEQ(3, 0),
        lambda: MonDEQ(3, 3, 0),
        lambda: MonDEQ(3, 3, m=0.0),
        lambda: MonDEQ(3, 3, m=-1.0),
        lambda: MonDEQ(3, 3, lip=0.0),
        lambda: MonDEQ(3, 3, lip=float("nan")),
    ],
)
def test_bad_sizes_are_refused(build):
    with pytest.raises(InputError, match="expected"):
        build()


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-310])
@pytest.mark.parametrize(
    ("family", "scalar", "name"), [("lben", "lip", "psi"), ("g-mondeq", "m", "phi")]
)
def test_multipliers_that_are_no_numbers_are_refused_in_silence(
    family, scalar, name, value, recwarn
):
    eye, zeros = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    origin = Origin(family, {scalar: 1.0}, {name: torch.full_like(zeros, value)})
    block = Equilibrium(0.0 * eye, eye, eye, zeros, zeros, Sigma.of(R, 3), origin)
    with pytest.raises(InputError, match="not 3 positive numbers"):
        prove(Network([block]))
    assert not recwarn.list


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_kept_between_calls_follows_the_parameters(name):
    layers = make(name, 10, seed=13)
    x = torch.randn(4, 10, dtype=torch.float64)
    with torch.no_grad():
        first = run(layers, x)
        assert torch.equal(run(layers, x), first)
        for parameter in layers.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
        changed = run(layers, x)
        fresh = run(copy.deepcopy(layers), x)
    assert not torch.equal(changed, first)
    torch.testing.assert_close(changed, fresh, rtol=0, atol=1e-9)
