"""Modules with a forward pass of their own: traced where it is a chain, named where it is none."""

import pytest
import torch
import torch.nn.functional as F
from foreign_nets import assert_same, settled
from torch import nn

from certlip.errors import CertlipError, UnsupportedError
from certlip.interop import from_torch


class Parts(nn.Module):
    """A module whose forward pass is a function of itself and x."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.conv = nn.Conv2d(2, 3, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(12, 4)
        self.flat = nn.Linear(32, 4)
        self.body = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU())
        self.register_buffer("mean", torch.rand(1, 2, 1, 1))
        self.register_buffer("std", torch.rand(2, 1, 1) + 0.5)
        settled(self)

    def forward(self, x):
        return self.run(self, x)


CHAINS = {
    "typical": lambda m, x: m.head(F.relu(m.norm(m.conv((x - m.mean) / m.std))).flatten(1)),
    "view": lambda m, x: m.head(m.conv(x).relu().view(x.size(0), -1)),
    "shape": lambda m, x: m.head(torch.tanh(m.conv(x)).reshape(x.shape[0], -1)),
    "size()": lambda m, x: m.head(m.conv(x).tanh().view(x.size()[0], 12)),
    "-1": lambda m, x: m.head(m.conv(x).view(-1, 12)),
    "dropout": lambda m, x: m.flat(F.dropout(torch.flatten(x, 1), 0.5, m.training)),
    "nested": lambda m, x: torch.flatten(m.body(m.body(x)), 1),
    "pooled": lambda m, x: F.leaky_relu(F.avg_pool2d(x, 3, 2, 1), 0.2).flatten(1),
    "global": lambda m, x: F.elu(x, alpha=0.5).mean(dim=(2, 3)),
    "adaptive": lambda m, x: F.adaptive_avg_pool2d(input=x, output_size=(1, 2)),
    "arithmetic": lambda m, x: -(1 - 2 * x * m.std.view(1, 2, 1, 1) + m.mean) / 4,
    "functional": lambda m, x: F.linear(x.flatten(1), m.flat.weight, m.flat.bias / 2),
    "reshaped": lambda m, x: (x * m.std).flatten(1) + m.flat.weight[0],
    "turned": lambda m, x: (x * m.std).view(-1, 4, 4, 2) + m.std.view(1, 1, 2),
    "unflattened": lambda m, x: m.conv(x.flatten(1).view(-1, 2, 4, 4)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_the_same_function(name):
    module = Parts(CHAINS[name]).eval()
    assert_same(
        from_torch(module, (2, 4, 4)), module, (2, 4, 4), tol=1e-7
    )  # constants were float32
    module.double()
    assert_same(from_torch(module, (2, 4, 4)), module, (2, 4, 4))


BRANCHES = {
    "residual": (lambda m, x: x + m.body(x), r"add \(add\): reads x beside body_1"),
    "square": (lambda m, x: x * x, r"mul \(mul\): expected the input and a constant"),
    "reciprocal": (lambda m, x: 1 / x, "division by the input"),
    "concatenated": (lambda m, x: torch.cat([x, x], 1), r"cat \(cat\): no rule"),
    "softmax": (lambda m, x: F.softmax(x, 1), r"softmax \(softmax\): no rule"),
    "max": (lambda m, x: F.max_pool2d(x, 2), "no rule"),
    "gelu": (lambda m, x: F.gelu(x), "no rule"),
    "random": (lambda m, x: F.dropout(x), "training=True"),
    "control flow": (lambda m, x: m.body(x) if x.sum() > 0 else x, "cannot be traced"),
    "two outputs": (lambda m, x: (x, m.body(x)), "expected one output"),
    "old output": (lambda m, x: (m.body(x), x)[1], "output .*: expected one output"),
    "over the batch": (lambda m, x: x.flatten(0), "flattens the axes 0 to -1"),
    "flat batch": (lambda m, x: x.view(-1), r"view \(view\): shape"),
    "mixed batch": (lambda m, x: x.view(x.size(0) * 2, -1), "not computed|no constant|no rule"),
    "mixed axes": (lambda m, x: x.view(-1, 16), "expected 16 numbers"),
    "sides": (lambda m, x: x.view(x.size(0), x.size(1), -1), "shape"),
    "batch as number": (lambda m, x: x / x.size(0), "expected the input and a constant"),
    "mean of all": (lambda m, x: x.mean(), "the mean over None"),
    "weights from x": (
        lambda m, x: F.linear(m.flat.weight, x.flatten(1)),
        "is not its first argument",
    ),
    "steep": (lambda m, x: F.leaky_relu(x, 3.0), "negative slope 3.0"),
    "rounding": (lambda m, x: torch.div(x, 2, rounding_mode="floor"), "arguments without a rule"),
    "alpha": (lambda m, x: torch.add(x, m.mean, alpha=3), "arguments without a rule"),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_what_is_no_chain_of_rules_is_named(name):
    run, match = BRANCHES[name]
    with pytest.raises(CertlipError, match=match) as caught:
        from_torch(nn.Sequential(Parts(run)), (2, 4, 4))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code in (2, 3)


def test_a_place_inside_of_a_larger_module_is_named():
    module = nn.Sequential(nn.Identity(), nn.Sequential(Parts(lambda m, x: x + m.body(x))))
    with pytest.raises(UnsupportedError, match=r"1\.0\.add \(add\): reads"):
        from_torch(module, (2, 4, 4))


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x


def test_two_inputs_are_refused():
    with pytest.raises(UnsupportedError, match="TwoInputs: 2 inputs"):
        from_torch(TwoInputs(), (3,))


def test_a_module_in_training_is_traced_in_evaluation():
    module = Parts(CHAINS["dropout"]).double().train()
    network = from_torch(module, (2, 4, 4))
    assert module.training
    assert_same(network, module, (2, 4, 4))
