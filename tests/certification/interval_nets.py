"""Networks with interval bounds, random and attacked points of boxes, and a slow exact reference."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
from certify_nets import NETWORKS as DENSE
from certify_nets import affine, exact, normalize, tensor
from conv_nets import conv_residual, convolution

from certlip.blocks import (
    Activation,
    Affine,
    ConvEquilibrium,
    Equilibrium,
    GroupSort,
    Network,
    Pooling,
    Resize,
    Sigma,
    Window,
)
from certlip.blocks.activations import ELU, Identity, LeakyReLU, ReLU, Tanh
from certlip.certification.interval.box import around, ends
from certlip.solvers import Evaluator


def contracting(seed=0, n=12, d=5, q=3, norm=0.9, sigma=None):
    """An equilibrium with ‖|W|‖₂ = norm."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= norm / np.linalg.norm(np.abs(W), 2)
    U, G = rng.standard_normal((n, d)) / np.sqrt(d), rng.standard_normal((q, n)) / np.sqrt(n)
    b_z, b_y = rng.standard_normal(n), rng.standard_normal(q)
    return Equilibrium(*map(tensor, (W, U, G, b_z, b_y)), sigma or Sigma.of(ReLU(), n))


def conv_contracting(seed=0, n=3, c=2, q=2, taps=(3, 2), height=3, width=4, norm=0.8):
    """The same on a torus: ‖|W|‖₂ is that of the sums over taps."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n, *taps))
    W *= norm / np.linalg.norm(np.abs(W).sum(axis=(2, 3)), 2)
    U, G = 0.3 * rng.standard_normal((n, c, 2, 2)), 0.3 * rng.standard_normal((q, n, 1, 2))
    b_z, b_y = rng.standard_normal(n), rng.standard_normal(q)
    sigma = Sigma.of(ReLU(), n * height * width)
    return ConvEquilibrium(*map(tensor, (W, U, G, b_z, b_y)), sigma, height, width)


def points(net, x, r, rng, count=20):
    """(count, batch, d): corners and random points of ℓ∞ balls, and where gradients of logits lead."""
    shape = (count, *x.shape)
    offset = rng.uniform(-1.0, 1.0, shape)
    offset[: count // 2] = np.sign(offset[: count // 2])
    moved = torch.from_numpy(x).requires_grad_(True)
    y = Evaluator(net, strict=False)(moved)
    for k in range(min(y.shape[1], count // 4)):
        (slope,) = torch.autograd.grad(y[:, k].sum(), moved, retain_graph=True)
        offset[2 * k], offset[2 * k + 1] = np.sign(slope.numpy()), -np.sign(slope.numpy())
    found = x + r[:, None] * offset
    low, high = x - r[:, None], x + r[:, None]
    return np.clip(found, np.nextafter(low, np.inf), np.nextafter(high, -np.inf))


def violations(net, bounds, x, r, rng, count=20):
    """How many logits of points of the balls lie outside of the box; NaN lies nowhere."""
    low, high = ends(bounds(around(x, r)))
    inputs = points(net, x, r, rng, count)
    with torch.no_grad():
        y = Evaluator(net)(torch.from_numpy(inputs.reshape(-1, x.shape[1])))
    y = y.numpy().reshape(count, len(x), -1)
    room = 1e-9 * (1.0 + np.abs(y))  # the evaluation is no exact one
    return int((~((y >= low - room) & (y <= high + room))).sum())


def exact_interval(net, x, r):
    """Plain interval arithmetic of an explicit network in rational numbers: lower and upper ends."""
    r = Fraction(float(r))
    low, high = exact(x) - r, exact(x) + r
    for block in net.blocks:
        a = {name: exact(array.numpy()) for name, array in block.arrays().items()}
        if isinstance(block, Affine):
            c, s = (low + high) / 2, (high - low) / 2
            c, s = a["W"].dot(c) + a["b"], np.abs(a["W"]).dot(s)
            low, high = c - s, c + s
        elif block.kind == "normalize":
            low, high = (low - a["mean"]) / a["std"], (high - a["mean"]) / a["std"]
        else:
            low, high = (np.array([max(v, Fraction(0)) for v in end]) for end in (low, high))
    return low, high


def unrolled(block, x, r, steps=50, start=None):
    """Widths of the logits by plain interval arithmetic of `steps` layers, as numbers."""
    W, U, G = (a.numpy() for a in (block.W, block.U, block.G))
    c, cr = x @ U.T + block.b_z.numpy(), np.abs(U).sum(axis=1) * r[:, None]
    low = high = np.zeros_like(c)
    if start is not None:
        low, high = start
    for _ in range(steps):
        mid, rad = (low + high) / 2 @ W.T + c, (high - low) / 2 @ np.abs(W).T + cr
        low, high = np.maximum(mid - rad, 0.0), np.maximum(mid + rad, 0.0)
    return 2.0 * ((high - low) / 2 @ np.abs(G).T)


def only(*blocks):
    return Network(blocks)


def deep(rng, sizes=(4, 9, 7, 8, 3), scale=1.0):
    """Explicit blocks with ReLU; weights with few bits, so that differences of rows are exact."""

    def few(*shape):
        return np.round(rng.standard_normal(shape) * 2.0**20) / 2.0**20

    blocks = []
    for d, q in pairwise(sizes):
        blocks += [affine(scale * few(q, d), few(q)), Activation(Sigma.of(ReLU(), q))]
    return blocks[:-1]


def image_network(seed, padding):
    """Every kind of block on images once: 1 channel of 4×2 pixels to 3 logits."""
    return only(
        normalize(8),
        Resize(8, 16),
        convolution(seed, 2, 2, (3, 2), 4, 2, padding),
        conv_residual(seed + 1, 3, 2, (2, 2), 4, 2, padding),
        GroupSort(16, 2, 8),
        Window(2, 4, 2, -1, 0, 3, 1, 2, 2),
        Activation(Sigma.of(LeakyReLU(0.3), 24)),
        Resize(24, 32),
        Pooling(2, 4, 4, 2),
        conv_contracting(seed + 2, 3, 2, 2, (2, 1), 2, 2),
        Resize(8, 3),
        affine(np.random.default_rng(seed).standard_normal((3, 3))),
    )


#: Every kind of block that has boxes.
NETWORKS = {
    "explicit": DENSE["explicit"],
    "triangular": DENSE["triangular"],
    "dense": lambda s: only(normalize(5), contracting(s)),
    "two": lambda s: only(contracting(s), contracting(s + 1, d=3), affine(2 * np.eye(3))),
    "tanh": lambda s: only(contracting(s, sigma=Sigma(((Tanh(), 4), (ELU(0.5), 5), (ReLU(), 3))))),
    "leaky": lambda s: only(contracting(s, sigma=Sigma(((LeakyReLU(0.2), 6), (Identity(), 6))))),
    "torus": lambda s: only(conv_contracting(s)),
    "large kernel": lambda s: only(conv_contracting(s, 2, 1, 2, (8, 7), 8, 7)),
    "images": lambda s: image_network(s, "circular"),
    "images, zero": lambda s: image_network(s, "zero"),
}
