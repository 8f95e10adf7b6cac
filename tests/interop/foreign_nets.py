"""Random feed-forward torch modules, and what they have in common with a network of certlip."""

import numpy as np
import torch
from torch import nn

from certlip.solvers import Evaluator


def settled(module):
    """Statistics and weights of batch normalisation as training leaves them, some factors negative."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module


def image_net(seed):
    """A module and the shape of its input, from every layer on images that has a rule."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    shape = int(rng.integers(1, 4)), *(int(n) for n in rng.integers(5, 11, 2))
    layers: list[nn.Module] = []
    y = torch.zeros(1, *shape)
    for _ in range(rng.integers(1, 5)):
        layer = _layer(rng, *y.shape[1:])
        try:
            found = layer(y)
        except RuntimeError:  # it does not fit the image
            continue
        if found.numel() == 0:  # all of the image was cut off
            continue
        y = found
        layers.append(layer.eval())
    head = [
        nn.Flatten(),
        nn.Linear(y[0].numel(), 4),
        nn.BatchNorm1d(4),
        nn.Dropout(),
        nn.Linear(4, 3),
    ]
    half = len(layers) // 2
    return settled(
        nn.Sequential(nn.Sequential(*layers[:half]), *layers[half:], *head)
    ).eval(), shape


def _layer(rng, c, height, width):
    def pick(*values):
        return values[rng.integers(len(values))]

    kind = rng.integers(9)
    if kind < 3:
        groups = pick(1, c)
        padding = pick(0, 1, 2, (1, 2), "same", "valid")
        return nn.Conv2d(
            c,
            groups * pick(1, 2),
            (pick(1, 2, 3, 4), pick(1, 2, 3)),
            stride=1 if padding == "same" else (pick(1, 2, 3), pick(1, 2)),
            padding=padding,
            dilation=pick(1, 1, 2),
            groups=groups,
            bias=pick(True, False),
            padding_mode=pick("zeros", "zeros", "circular"),
        )
    if kind == 3:
        return nn.BatchNorm2d(c, affine=pick(True, False)).eval()
    if kind == 4:
        return nn.AvgPool2d(pick(2, 3, (2, 3)), pick(None, 1, 2), padding=pick(0, 1))
    if kind == 5:
        return nn.AdaptiveAvgPool2d(pick((height, 1), (None, 1), 1))
    if kind == 6:
        return nn.ZeroPad2d((pick(0, 1), pick(0, 2), pick(1, -1), 0))
    activations = (
        nn.ReLU(),
        nn.LeakyReLU(0.3),
        nn.Tanh(),
        nn.ELU(0.5),
        nn.Identity(),
        nn.Dropout2d(),
    )
    return activations[rng.integers(6)].eval()


def assert_same(network, module, shape, *, rows=3, tol=1e-12):
    """The network computes what the module does in float64."""
    x = torch.rand(rows, *shape, dtype=torch.float64) * 2 - 0.5
    with torch.no_grad():
        expected = module.double().eval()(x).flatten(1)
        y = Evaluator(network)(x.flatten(1))
    assert y.shape == expected.shape
    assert float((y - expected).norm()) <= tol * (1.0 + float(expected.norm()))
