"""Attacks on the radii of networks on images: exact distances, both logits of a margin, gradient steps."""

from fractions import Fraction
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conv_nets import conv_residual, network, tensor
from hypothesis import given
from hypothesis import strategies as st

from certlip.blocks import (
    Activation,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    GroupSort,
    Network,
    Origin,
    Resize,
    Sigma,
)
from certlip.blocks.activations import Identity, ReLU
from certlip.certification import Status, certify
from certlip.certification import certifier as certifier_module
from certlip.certification.enclosure import Encloser, Enclosure
from certlip.errors import InconclusiveError
from certlip.lmi import prove
from certlip.solvers import Evaluator

# --- radii ----------------------------------------------------------------------------------------


def scaled_images(kind, scale):
    """y = scale · x on images of 1×2 pixels, then cut to two logits: the radius is |x₀ − x₁|/√2."""
    one, zero = tensor([[[[1.0]]]]), tensor([0.0])
    if kind == "convolution":
        first = Convolution(scale * one, zero, 1, 2, "zero")
    elif kind == "residual":  # x − 2·x
        sigma = Sigma.of(Identity(), 2)
        first = ConvResidual(scale * one, tensor([1.0]) / scale**2, zero, sigma, 1, 2, "circular")
    else:  # z = z/2 + x/2
        origin, sigma = Origin("mondeq", {"m": 0.5}), Sigma.of(Identity(), 2)
        parts = 0.5 * one, 0.5 * one, scale * one, zero, zero, sigma, 1, 2, origin
        first = ConvEquilibrium(*parts)
    return Network([first, GroupSort(2, 1, 1), Resize(2, 3), Resize(3, 2)])


@given(
    a=st.floats(-1e6, 1e6),
    b=st.floats(-1e6, 1e6),
    scale=st.sampled_from([2.0**-100, 1.0, 2.0**60]),
    kind=st.sampled_from(["convolution", "residual", "equilibrium"]),
)
def test_a_radius_is_strictly_below_the_exact_distance_to_the_boundary(a, b, scale, kind):
    net = scaled_images(kind, scale)
    x = np.array([[a, b], [b, a]])
    label = (x[:, 1] > x[:, 0]).astype(int)
    radii = certify(net, prove(net), x, 1 - label if kind == "residual" else label)
    distance = (Fraction(a) - Fraction(b)) ** 2 / 2
    for radius, status in zip(radii.radius_lower, radii.status, strict=True):
        assert radius == 0.0 or Fraction(radius) ** 2 < distance
        if status == Status.CERTIFIED:
            assert radius > 0.0
        if abs(a - b) > 1e-3:  # tight: the bound is attained
            assert radius > 0.999 * abs(a - b) / np.sqrt(2)


@pytest.mark.parametrize("error", [0.0, 0.5, 0.7, 0.71, 0.75, np.inf, np.nan])
def test_both_logits_of_a_margin_may_be_off(error, monkeypatch):
    # logits (1, 0) within an ℓ2 error e: the truth may be (1 − e/√2, e/√2)
    y, none = np.array([[1.0, 0.0]]), np.zeros(1)
    found = Enclosure(y, np.array([error]), {}, none, none[:, None])
    encloser = Mock(return_value=found, refined=Mock(return_value=found))
    monkeypatch.setattr(certifier_module, "Encloser", Mock(return_value=encloser))
    net = Network([Resize(2, 2)])
    radii = certify(net, prove(net), y, np.array([0]))
    room = 1.0 - np.sqrt(2.0) * error
    assert (radii.status[0] == Status.CERTIFIED) == (room > 0.0)
    if room > 0.0:
        assert radii.margin_lower[0] <= room <= radii.margin_lower[0] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("first", "bad"),
    [
        (Resize(3, 2), [2.0, 1.0, np.nan]),
        (Resize(3, 2), [2.0, 1.0, np.inf]),
        (Activation(Sigma.of(ReLU(), 2)), [2.0, -np.inf]),
    ],
)
def test_what_is_no_point_has_no_radius_though_its_logits_are_finite(first, bad):
    net = Network([first])
    good = np.nan_to_num(bad, posinf=0.0, neginf=0.0)
    radii = certify(net, prove(net), np.array([good, bad]), np.zeros(2, dtype=int))
    assert radii.status.tolist() == [Status.CERTIFIED, Status.ERROR]
    assert radii.radius_lower[1] == 0.0


def ascend(net, x, label, radius, steps=40):
    """The largest lead of another class that gradient steps find in the balls, in double precision."""
    evaluator = Evaluator(net, dtype=torch.float64, tol=1e-11, strict=False)
    x, a, r = torch.tensor(x), torch.tensor(label), torch.tensor(radius)[:, None]
    generator = torch.Generator().manual_seed(0)
    best = torch.full((len(x),), -torch.inf, dtype=torch.float64)
    d = r * torch.randn(x.shape, generator=generator, dtype=torch.float64) / x.shape[1]
    for _ in range(steps):
        d = d.detach() * (r / d.detach().norm(dim=1, keepdim=True)).clamp_max(1.0)
        d.requires_grad_(True)
        y, _ = evaluator.run(x + d, {})
        lead = y.scatter(1, a[:, None], -torch.inf).amax(1) - y.gather(1, a[:, None])[:, 0]
        best = torch.maximum(best, lead.detach())
        (slope,) = torch.autograd.grad(lead.sum(), d)
        d = d.detach() + 0.4 * r * slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-300)
    return best


@pytest.mark.parametrize("padding", ["circular", "zero"])
@pytest.mark.parametrize("seed", range(3))
def test_gradient_steps_in_double_precision_break_no_radius(seed, padding):
    blocks = [*network(seed, padding).blocks[:2]]
    blocks += [conv_residual(seed, 3, 2, (3, 2), 4, 2, padding, share=1.2), Resize(16, 3)]
    for net in (network(seed, padding), Network(blocks)):
        x = np.random.default_rng(seed).standard_normal((20, 8))
        label = Evaluator(net)(torch.tensor(x)).argmax(dim=1).numpy()
        radii = certify(net, prove(net), x, label)
        kept = radii.status == Status.CERTIFIED
        assert kept.any()
        assert (ascend(net, x[kept], label[kept], radii.radius_lower[kept]) < 0.0).all()


def test_a_norm_above_the_largest_double_is_inconclusive():
    """‖K‖ is finite and proven, ‖|K|‖ is not: no enclosure, and no bare exception either."""
    K = 1e308 * torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)[..., None, None]
    block = Convolution(K / 1.05, torch.zeros(2, dtype=torch.float64), 1, 1, "circular")
    network = Network([block])
    proof = prove(network)
    with pytest.raises(InconclusiveError, match=r"block 0 \(convolution\): .* overflows"):
        Encloser(network, proof)
