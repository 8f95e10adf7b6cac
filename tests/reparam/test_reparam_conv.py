"""Every convolutional family as an LBEN: same function, same bound, and its triangular form."""

import numpy as np
import pytest
import torch

from certlip.blocks import Activation, ConvEquilibrium, Equilibrium, Network, Sigma
from certlip.blocks.activations import ELU, Identity, LeakyReLU, ReLU, Tanh
from certlip.equilibrium import LBEN, MonDEQ
from certlip.errors import RejectedError, UnsupportedError
from certlip.layers import (
    AOLConv,
    AOLDense,
    ChannelPad,
    CPLConv,
    GroupSort,
    NormalizedHead,
    OrthogonalConv,
    Pool,
    SandwichConv,
    SandwichDense,
    SLLConv,
    SLLDense,
    ToImages,
    ToVectors,
)
from certlip.linalg.torus import Torus
from certlip.lmi import prove
from certlip.models.named import NAMED
from certlip.reparam import equilibria_from_network, equilibrium_from_network, reparametrize
from certlip.solvers import Evaluator

R = ReLU()


def chain(layer, *, image, c, k, depth, **options):
    return [layer(c, k, image, **options) for _ in range(depth)]


def implicit(c, n, q, image, **options):
    return [ToVectors(), MonDEQ(c, n, q, torus=Torus(*image), **options)]


#: name → (layers for images of that size with 2 channels, prescribed Lipschitz bound)
FAMILIES = {
    "sll": (lambda i: chain(SLLConv, image=i, c=2, k=3, depth=3, size=min(3, *i)), 1.0),
    "sll leaky": (
        lambda i: chain(SLLConv, image=i, c=2, k=1, depth=2, size=2, activation=LeakyReLU(0.2)),
        1.0,
    ),
    "sll full": (lambda i: chain(SLLConv, image=i, c=2, k=2, depth=2, size=i), 1.0),
    "cpl": (lambda i: chain(CPLConv, image=i, c=2, k=3, depth=3, activation=Tanh()), 1.0),
    "aol": (
        lambda i: [
            AOLConv(2, 4, i, activation=R),
            AOLConv(4, 3, i, activation=R),
            AOLConv(3, 2, i),
        ],
        1.0,
    ),
    "orthogonal": (
        lambda i: [OrthogonalConv(2, 3, i, activation=ELU()), OrthogonalConv(3, 2, i, size=2)],
        1.0,
    ),
    **{
        f"sandwich {lip}": (
            lambda i, lip=lip: [
                SandwichConv(2, 4, 3, i, lip=lip / 2.0),
                SandwichConv(3, 2, 2, i, lip=2.0, size=2),
            ],
            lip,
        )
        for lip in (0.5, 1.0, 2.0, 10.0)
    },
    **{
        f"mondeq {lip}": (lambda i, lip=lip: implicit(2, 4, 3, i, lip=lip, m=0.7), lip)
        for lip in (0.5, 1.0, 2.0, 10.0)
    },
    **{
        f"g-mondeq {lip}": (
            lambda i, lip=lip: implicit(2, 3, None, i, lip=lip, generalized=True, kernel=2),
            lip,
        )
        for lip in (0.5, 1.0, 2.0, 10.0)
    },
    "mixed": (
        lambda i: [
            SLLConv(2, 2, i),
            AOLConv(2, 3, i, activation=R),
            *implicit(3, 3, 2, i, lip=2.0),
        ],
        2.0,
    ),
}
SIZES = [(3, 3), (5, 4)]


def frozen(layers) -> Network:
    blocks = []
    for layer in layers:
        result = layer.freeze()
        blocks.extend(result if isinstance(result, list) else [result])
    return Network(blocks)


def make(build, image, seed, spread=0.3) -> Network:
    torch.manual_seed(seed)
    layers = torch.nn.ModuleList([ToImages(image), *build(image)]).double()
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter += spread * torch.randn_like(parameter)
    return frozen(layers)


def inputs(network, rows=8):
    return torch.randn(rows, network.in_width, dtype=torch.float64)


@pytest.mark.parametrize("image", SIZES, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_lben_has_the_same_function_and_bound(name, image):
    build, lip = FAMILIES[name]
    network = make(build, image, seed=3)
    x = inputs(network)
    logits = Evaluator(network)(x)
    parts = reparametrize(network)
    assert parts.lben.structure.torus == Torus(*image)
    assert parts.lben.lip <= lip * (1 + 1e-6)
    for other in (parts.freeze(), equilibria_from_network(network)):
        assert [type(block) for block in other.blocks] == [ConvEquilibrium]
        assert (Evaluator(other)(x) - logits).abs().max() < 1e-9
        assert prove(other).lip.value <= lip * (1 + 2e-6)
    # the layer itself, in float64, is its frozen block
    with torch.no_grad():
        assert (parts.lben(x) - logits).abs().max() < 1e-9


@pytest.mark.parametrize("name", ["sll", "aol", "sandwich 2.0", "mondeq 0.5", "mixed"])
def test_one_dense_equilibrium_holds_a_small_network(name):
    build, lip = FAMILIES[name]
    network = make(build, (3, 3), seed=4)
    x = inputs(network)
    one = equilibrium_from_network(network)
    assert [type(block) for block in one.blocks] == [Equilibrium]
    assert (Evaluator(one)(x) - Evaluator(network)(x)).abs().max() < 1e-9
    assert prove(one).lip.value <= lip * (1 + 2e-6)


def test_explicit_chains_are_strictly_triangular_with_small_kernels():
    network = make(FAMILIES["sll"][0], (8, 9), seed=5)
    (block,) = equilibria_from_network(network).blocks
    assert isinstance(block, ConvEquilibrium)
    assert block.W.shape == (2 + 3 * 3, 2 + 3 * 3, 5, 5)
    assert block.U.shape[2:] == (1, 1)
    assert block.G.shape[2:] == (3, 3)
    pattern = block.W.abs().amax(dim=(2, 3)).numpy()
    assert not np.triu(pattern).any()
    assert block.sigma == Sigma(((Identity(), 2 * 72), (ReLU(), 9 * 72)))
    evaluator = Evaluator(Network([block]))
    _, solution = evaluator.block(0, inputs(network))
    assert solution is not None
    assert solution.converged
    assert solution.residual.max() < 1e-11


def composite(image=(4, 4), zero=False):
    """Padding, convolutions, pooling, sorting and dense layers: three chains."""
    padding = "zero" if zero else "circular"
    return [
        ChannelPad(1, 3, image),
        SLLConv(3, 2, image, padding=padding),
        SLLConv(3, 4, image, padding=padding, activation=Tanh()),
        Pool(3, 2, image),
        ToVectors(),
        SLLDense(12, 5),
        GroupSort(12, 2),
        AOLDense(12, 6, R),
        SandwichDense(6, 5, 4, lip=0.5),
        NormalizedHead(4, 3),
    ]


@pytest.mark.parametrize("zero", [False, True])
def test_what_stands_between_chains_stays(zero):
    network = make(lambda image: composite(image, zero), (4, 4), seed=6)
    x = inputs(network)
    parts = reparametrize(network)
    kinds = ["LBEN" if isinstance(p, LBEN) else p.kind for p in parts.parts]
    conv = ["conv-residual", "conv-residual"] if zero else ["LBEN"]
    assert kinds == ["resize", *conv, "pooling", "LBEN", "group-sort", "LBEN"]
    rebuilt = parts.freeze()
    assert (Evaluator(rebuilt)(x) - Evaluator(network)(x)).abs().max() < 1e-9
    assert prove(rebuilt).lip.value <= prove(network).lip.value * (1 + 1e-6)
    with pytest.raises(UnsupportedError, match="group-sort"):
        equilibrium_from_network(network)


def test_zero_padding_is_a_matrix_where_it_is_small():
    """No LBEN on a torus has zero padding; written out as a matrix the network is one equilibrium."""
    network = make(lambda i: [SLLConv(2, 2, i, padding="zero"), Pool(2, 2, i)], (4, 4), seed=7)
    with pytest.raises(UnsupportedError, match="conv-residual"):
        reparametrize(network)
    one = equilibrium_from_network(network)
    x = inputs(network)
    assert (Evaluator(one)(x) - Evaluator(network)(x)).abs().max() < 1e-10
    assert prove(one).lip.value <= 1 + 1e-6


def test_the_papers_network_and_its_twin_on_small_images():
    """Havens et al.: a convolutional and a dense LBEN with pooling between, from SLL layers."""
    torch.manual_seed(8)
    model = NAMED["havens2023-sll"](3 * 8 * 8, 10, height=8, width=8).double()
    network = model.freeze()
    x = inputs(network)
    parts = reparametrize(network)
    kinds = ["LBEN" if isinstance(p, LBEN) else p.kind for p in parts.parts]
    assert kinds == ["resize", "LBEN", "pooling", "LBEN"]
    first, second = parts.lbens
    assert first.V.shape == (8 + 4 * 5, 8 + 4 * 5, 8, 8)
    assert second.V.shape == (32 + 2 * 512, 32 + 2 * 512)
    rebuilt = parts.freeze()
    logits = Evaluator(network)(x)
    assert logits.shape == (8, 10)
    assert (Evaluator(rebuilt)(x) - logits).abs().max() < 1e-9
    assert prove(rebuilt).lip.value <= 1 + 2e-6


@pytest.mark.parametrize("name", ["sll", "sandwich 10.0", "mixed"])
def test_training_the_lben_stays_inside_the_bound(name):
    network = make(FAMILIES[name][0], (4, 4), seed=9)
    parts = reparametrize(network)
    parts.lben.eps = 1e-9
    optimizer = torch.optim.SGD(parts.lben.parameters(), lr=1e-2)
    x = inputs(network)
    before = parts.lben(x).detach()
    for _ in range(3):
        optimizer.zero_grad()
        parts.lben(x).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(parts.lben.parameters(), 1.0)
        optimizer.step()
    after = parts.freeze()
    assert (Evaluator(after)(x) - before).abs().max() > 1e-4
    assert prove(after).lip.value <= parts.lben.lip * (1 + 1e-6)


def test_v_times_v_in_place_of_its_transpose_is_refuted_on_a_torus():
    """The published mistake, per frequency: W built with V·V once V is trained away from symmetric."""
    network = make(FAMILIES["sll"][0], (4, 4), seed=10)
    lben = reparametrize(network).lben
    with torch.no_grad():
        lben.V += 0.05 * torch.randn_like(lben.V)
    right = lben.freeze()
    assert prove(Network([right])).lip.value <= 1 + 1e-6
    V = lben.structure.blocks(lben.V.detach())
    psi = lben.log_psi.detach().exp()
    W = lben.structure.blocks(right.W) + psi[:, None] * (V.mH @ V - V @ V)
    wrong = ConvEquilibrium(
        lben.structure.array(W),
        right.U,
        right.G,
        right.b_z,
        right.b_y,
        right.sigma,
        4,
        4,
        right.origin,
    )
    with pytest.raises(RejectedError, match="does not hold"):
        prove(Network([wrong]), lip=1.0)


def test_activations_that_stand_alone_stay_as_they_are():
    """As an LBEN of all coordinates they would be matrices of the size of the image, for nothing."""
    image, sigma = (4, 4), Sigma.of(R, 2 * 16)

    def zero() -> AOLConv:
        return AOLConv(2, 2, image, padding="zero", activation=R)

    network = make(
        lambda i: [zero(), zero(), Pool(2, 2, i), ToVectors(), AOLDense(8, 3, R)], image, 11
    )
    parts = reparametrize(network)
    kinds = ["LBEN" if isinstance(p, LBEN) else p.kind for p in parts.parts]
    assert kinds == ["convolution", "activation", "convolution", "activation", "pooling", "LBEN"]
    circular = make(lambda i: [AOLConv(2, 2, i, activation=R)], image, 12)
    led = Network([Activation(sigma), *circular.blocks])
    assert [getattr(p, "kind", "LBEN") for p in reparametrize(led).parts] == ["activation", "LBEN"]
    for each in (network, led):
        x = inputs(each)
        rebuilt = reparametrize(each).freeze()
        assert (Evaluator(rebuilt)(x) - Evaluator(each)(x)).abs().max() < 1e-9
        assert prove(rebuilt).lip.value <= 1 + 2e-6


def test_small_multipliers_are_solved_as_well_as_any_others():
    """Λ = (‖G‖/s)Φ⁻¹ is small where the output map is: the splitting must not slow down with it."""
    torch.manual_seed(13)
    layer = MonDEQ(4, 8, 3).double()
    with torch.no_grad():
        layer.U *= 10.0
        assert layer.G is not None
        layer.G *= 0.02
    network = Network([layer.freeze()])
    lben = reparametrize(network).lben
    x = torch.randn(6, 4, dtype=torch.float64)
    with torch.no_grad():
        y = lben(x)
    assert lben.last_solution is not None
    assert lben.last_solution.converged
    assert lben.last_solution.iterations < 200
    assert (y - Evaluator(network)(x)).abs().max() < 1e-9
