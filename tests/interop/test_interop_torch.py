"""Torch modules as networks: the same function, bounds that no slope exceeds, and what is refused."""

import copy

import pytest
import torch
from foreign_nets import assert_same, image_net, settled
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from certlip import models
from certlip.blocks import Network
from certlip.certification.enclosure import Encloser
from certlip.errors import CertlipError, InputError, UnsupportedError
from certlip.interop import from_torch
from certlip.layers import SLLConv, SLLDense
from certlip.layers.plumbing import ToImages, ToVectors
from certlip.lmi import prove
from certlip.solvers import Evaluator

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(seeds)
def test_random_networks_are_the_same_function_and_no_slope_exceeds_their_bound(seed):
    module, shape = image_net(seed)
    network = from_torch(module, shape)
    assert_same(network, module, shape)
    lip = prove(network).lip.value
    for x in torch.rand(2, *shape, dtype=torch.float64):
        J = torch.autograd.functional.jacobian(lambda v: module(v[None])[0], x)
        assert float(torch.linalg.matrix_norm(J.reshape(3, -1), 2)) <= lip * (1 + 1e-12)


def dyadic(seed):
    """Weights of a few bits, so that torch's float64 arithmetic is exact."""
    module, shape = image_net(seed)
    exact = (nn.Conv2d, nn.Linear, nn.ReLU, nn.ZeroPad2d, nn.Flatten, nn.Identity)
    parts = [p for p in module.modules() if isinstance(p, exact)]
    x = torch.zeros(1, *shape)
    kept = []
    for part in parts:
        if isinstance(part, nn.Linear):
            part = nn.Linear(x[0].numel(), 3)
        try:
            x = part(x)
        except RuntimeError:
            continue
        for p in part.parameters():
            p.data = torch.randint(-4, 5, p.shape) / 4.0
        kept.append(part)
    return nn.Sequential(*kept).double(), shape


@settings(max_examples=40)
@given(seeds)
def test_enclosures_contain_the_exact_values(seed):
    module, shape = dyadic(seed)
    network = from_torch(module, shape)
    x = torch.randint(-8, 9, (4, *shape)).double() / 8.0
    with torch.no_grad():
        exact = module(x).flatten(1).numpy()
    enclosure = Encloser(network, prove(network))(x.flatten(1).numpy())
    error = ((enclosure.y - exact) ** 2).sum(axis=1) ** 0.5
    assert (error <= enclosure.error).all()
    assert (enclosure.error <= 1e-9 * (1 + abs(exact).max())).all()


def test_a_network_is_in_evaluation_and_the_module_is_not_changed():
    module = settled(nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.9), nn.Tanh()))
    module.train()
    module[2].eval()
    before = copy.deepcopy(module.state_dict())
    network = from_torch(module)
    assert [part.training for part in module.modules()] == [True, True, True, False, True]
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [block.kind for block in network.blocks] == ["affine", "activation"]
    assert_same(network, module, (3,))
    module[0].weight.data.zero_()
    assert bool(network.blocks[0].arrays()["W"].any())  # a copy


def test_weights_in_float32_are_exact():
    module = nn.Linear(4, 3)
    W = from_torch(module).blocks[0].arrays()["W"]
    assert torch.equal(W.float(), module.weight)
    assert torch.equal(W, module.weight.double())


def test_normalisation_counts_in_the_bound():
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    plain = prove(from_torch(module, (3, 2, 2))).lip.value
    network = from_torch(module, (3, 2, 2), mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 1.0])
    assert prove(network).lip.value == pytest.approx(4 * plain, rel=1e-9)
    mean, std = (
        torch.tensor(v)[:, None, None].double() for v in ([0.1, 0.2, 0.3], [0.5, 0.25, 1.0])
    )
    x = torch.rand(2, 3, 2, 2).double()
    y = Evaluator(network)(x.flatten(1))
    torch.testing.assert_close(y, module.double()((x - mean) / std), rtol=1e-6, atol=1e-6)
    for bad in ({"std": 0.0}, {"std": [1.0, 1.0]}, {"mean": float("nan")}, {"std": -1.0}):
        with pytest.raises(InputError, match="normalisation: "):
            from_torch(module, (3, 2, 2), **bad)


def test_batch_normalisation_is_folded_where_a_linear_layer_is_before_it():
    def kinds(*layers, shape):
        return [b.kind for b in from_torch(settled(nn.Sequential(*layers)), shape).blocks]

    conv = nn.Conv2d(2, 4, 3, padding=1)
    assert kinds(conv, nn.BatchNorm2d(4), shape=(2, 4, 4)) == ["convolution"]
    assert kinds(nn.Linear(3, 4), nn.BatchNorm1d(4), shape=(3,)) == ["affine"]
    assert "affine" not in kinds(nn.BatchNorm2d(2), conv, shape=(2, 4, 4))


def test_layers_and_models_of_certlip_are_frozen():
    image = (4, 4)
    module = nn.Sequential(
        ToImages(image), SLLConv(2, 3, image, size=3), ToVectors(), nn.Linear(32, 6), SLLDense(6, 4)
    )
    network = from_torch(module, (32,))
    assert [b.kind for b in network.blocks] == ["conv-residual", "affine", "residual"]
    assert_same(network, module, (32,), tol=1e-6)  # T⁻¹ is nudged when it is frozen
    whole = models.build("sll", (8,), 3, width=8, hidden=4, depth=2)
    assert from_torch(whole).sha256() == whole.freeze().sha256()
    assert from_torch(whole, (2, 2, 2)).sha256() == whole.freeze().sha256()


class Freezes(nn.Linear):
    """`freeze` of others stops the training of some weights, and gives nothing."""

    def freeze(self):
        raise AssertionError("called")


def test_freeze_of_others_is_not_called():
    assert from_torch(Freezes(3, 2)).blocks[0].kind == "affine"


def test_a_layer_that_is_there_twice_acts_twice():
    relu, linear = nn.ReLU(), nn.Linear(3, 3)
    module = nn.Sequential(linear, relu, linear, relu, nn.Linear(3, 2))
    network = from_torch(module, (3,))
    assert [b.kind for b in network.blocks] == [*["affine", "activation"] * 2, "affine"]
    assert_same(network, module, (3,))


class Negated(SLLDense):
    def forward(self, x):
        return -super().forward(x)


def test_a_subclass_of_a_layer_of_certlip_is_not_frozen_for_it():
    with pytest.raises(UnsupportedError):
        from_torch(Negated(3, 2))


@pytest.mark.parametrize(
    ("channels", "shape", "norm"),
    [(1, (4, 3, 3), 4), (2, (8, 3, 3), 8), (4, (2, 8, 9), 2), (4, (4, 4, 9), 4)],
)
def test_what_follows_a_reshape_acts_on_the_new_channels(channels, shape, norm):
    conv = nn.Conv2d(1, channels, 3, padding=1)
    module = nn.Sequential(conv, nn.Flatten(), nn.Unflatten(1, shape), nn.BatchNorm2d(norm))
    module = settled(module).double().eval()
    assert_same(from_torch(module, (1, 6, 6)), module, (1, 6, 6))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_layer_with_a_forward_pass_of_its_own_is_traced():
    module = nn.Sequential(Doubled(3, 2))
    assert_same(from_torch(module, (3,)), module, (3,))


def hooked():
    module = nn.Linear(3, 3)
    module.register_forward_hook(lambda m, args, y: 5 * y)
    return module


def replaced():
    module = nn.Linear(3, 3)
    module.forward = lambda x: 5 * x
    return module


UNSUPPORTED = {
    "max pooling": (
        nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sequential(nn.MaxPool2d(2))),
        r"1\.0 \(MaxPool2d\): no rule",
    ),
    "softmax": (nn.Sequential(nn.Flatten(), nn.Softmax(1)), r"1 \(Softmax\)"),
    "gelu": (nn.GELU(), r"GELU: no rule"),
    "silu": (nn.SiLU(), r"SiLU: no rule"),
    "sigmoid": (nn.Sigmoid(), r"Sigmoid: no rule"),
    "a steep leak": (nn.Sequential(nn.LeakyReLU(1.5)), r"0 \(LeakyReLU\): negative slope 1\.5"),
    "a negative leak": (nn.LeakyReLU(-0.1), r"LeakyReLU: negative slope -0\.1"),
    "a steep elu": (nn.ELU(2.0), r"ELU: alpha = 2\.0: expected a number in \[0, 1\]"),
    "reflection": (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding_mode 'reflect'"),
    "divisors": (
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
        "windows differ in their divisor",
    ),
    "ceil": (nn.AvgPool2d(3, ceil_mode=True), "ceil_mode=True"),
    "uneven": (nn.AdaptiveAvgPool2d(3), "averages to 3×3 do not divide an image of 4×4 pixels"),
    "statistics": (nn.BatchNorm2d(1, track_running_stats=False), "no running statistics"),
    "partly flat": (nn.Flatten(2), "flattens the axes 2 to -1"),
    "transposed": (nn.ConvTranspose2d(1, 1, 2), "ConvTranspose2d: no rule"),
    "hooks": (nn.Sequential(nn.Flatten(), nn.Linear(16, 3), hooked()), r"2 \(Linear\): has hooks"),
    "replaced": (
        nn.Sequential(nn.Flatten(), nn.Linear(16, 3), replaced()),
        "was replaced on the object",
    ),
    "scripted": (torch.jit.script(nn.Flatten()), "RecursiveScriptModule"),
    "recurrent": (nn.LSTM(4, 2), "LSTM: no rule"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_has_no_rule_is_named_with_its_place(name):
    module, match = UNSUPPORTED[name]
    with pytest.raises(UnsupportedError, match=match) as caught:
        from_torch(module, (1, 4, 4))
    assert "\n" not in str(caught.value)


def nan():
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    module[1].weight.data[1, 2] = float("nan")
    return module


WRONG = {
    "width": (
        nn.Sequential(nn.Flatten(), nn.Linear(9, 2)),
        (1, 4, 4),
        r"1 \(Linear\): input of shape \(16,\)",
    ),
    "not flat": (nn.Linear(4, 2), (1, 4, 4), "images flattened before"),
    "no image": (nn.Conv2d(1, 1, 3), (16,), "Conv2d: input of shape .16,.: expected images"),
    "channels": (nn.Conv2d(3, 1, 3), (1, 4, 4), "expected 3 channels"),
    "unknown": (nn.Conv2d(1, 1, 3), None, "give it as input_shape"),
    "too small": (nn.Conv2d(1, 1, 5), (1, 4, 4), "does not fit an image of 4×4"),
    "features": (nn.BatchNorm2d(3), (1, 4, 4), "expected 3 channels"),
    "nan": (nan(), (1, 4, 4), r"1 \(Linear\): affine block: W\[1, 2\] = nan"),
    "nothing": (nn.Sequential(), (3,), "at least one block"),
    "no module": (lambda x: x, (3,), "a function: expected a torch module"),
    "a network": (Network(from_torch(nn.Linear(2, 2)).blocks), (2,), "a Network: expected"),
    "floats": (nn.Linear(3, 2), (3.0,), "expected whole numbers"),
    "a number": (nn.Linear(3, 2), 3, "shape 3: expected whole numbers"),
    "no side": (nn.Linear(3, 2), (), "without the batch axis"),
    "zero": (nn.Conv2d(1, 1, 1), (1, 0, 3), "whole numbers ≥ 1"),
    "huge": (nn.ZeroPad2d(10**6), (1, 4, 4), "ZeroPad2d: output of shape"),
    "variance": (nn.BatchNorm2d(1, eps=-2.0), (1, 4, 4), "not positive"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_in_one_line(name):
    module, shape, match = WRONG[name]
    with pytest.raises(InputError, match=match) as caught:
        from_torch(module, shape)
    assert "\n" not in str(caught.value)


def test_an_odd_image_with_circular_padding_and_a_stride_is_a_matrix():
    module = nn.Conv2d(1, 2, 3, stride=2, padding=1, padding_mode="circular")
    network = from_torch(module, (1, 5, 5))
    assert [block.kind for block in network.blocks] == ["affine"]
    assert_same(network, module, (1, 5, 5))


def test_dilation_that_would_fill_the_memory_is_refused():
    module = nn.Conv2d(1, 1, 2, dilation=10**6, padding=10**6)
    with pytest.raises(CertlipError, match="Conv2d: "):
        from_torch(module, (1, 4, 4))
