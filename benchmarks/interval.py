"""Boxes of explicit networks beside auto_LiRPA, in one run at batch 256; and boxes of random models
under attack.

`one ε` is a margin bound at one radius from scratch; `each further ε` what every other radius of the
same samples costs, as certification tries many. The first two are in float64, the next two with the
body of the network in float32, rounded outward as well: what a margin loses there is relative to what
the ball takes from it. auto_LiRPA computes in float64, or in its default float32, and rounds nothing
outward. Without it (it is no dependency) the rows are those of certlip alone. Of random models the
points are corners of ℓ∞ balls, random points, and corners that gradients of the logits lead to.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.timing import best
from certlip.blocks import Equilibrium, Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification.interval import IntervalBounds
from certlip.certification.interval.box import around, ends
from certlip.certification.interval.single import SingleBounds
from certlip.interop import from_torch
from certlip.solvers import Evaluator

BATCH, EPS, REPEATS = 256, 0.1, 50
POINTS = 100_000

NETS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Sequential]]] = {
    "dense, 784-512-512-10": (
        (784,),
        lambda: nn.Sequential(
            *(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        ),
    ),
    "dense, 784-7×256-10": (
        (784,),
        lambda: nn.Sequential(
            *(nn.Linear(784, 256), nn.ReLU()),
            *[layer for _ in range(6) for layer in (nn.Linear(256, 256), nn.ReLU())],
            nn.Linear(256, 10),
        ),
    ),
    "convolutions, 16 and 32 channels": (
        (1, 28, 28),
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10)),
        ),
    ),
}


def run() -> list[list[Any]]:
    # glibc hands memory back, page by page, until an array of this size was freed, as in every run that
    # reads a dataset; neither side is meant to pay for that here
    np.empty(2**22 - 2**14)
    rows: list[list[Any]] = [
        [
            *("what", "difference", "one ε, ms", "each further ε, ms"),
            *("single precision, one ε, ms", "each further ε, ms", "margin lost"),
            *("auto_LiRPA, ms", "in float32, ms", "times faster than in float64"),
        ]
    ]
    theirs = _library()
    for name, (shape, make) in NETS.items():
        torch.manual_seed(0)
        rows.append([name, *_beside(make().double(), shape, theirs)])
    points, outside, widest = contained()
    rows.append([f"{points:,} points of random models: {outside} outside", *[""] * 9])
    rows.append([f"widths over those of 50 unrolled layers: {widest:.9f}", *[""] * 9])
    return rows


def _beside(net: nn.Sequential, shape: tuple[int, ...], theirs: Any) -> list[Any]:
    x = torch.rand(BATCH, *shape, dtype=torch.float64)
    bounds = IntervalBounds(from_torch(net, shape))
    single = SingleBounds(bounds)
    flat, r, a = x.flatten(1).numpy(), np.full(BATCH, EPS), np.zeros(BATCH, dtype=int)
    start = bounds.start(flat)
    single_start = single.start(flat)
    ours = [
        lambda: bounds.lower(bounds.start(flat), r, a),
        lambda: bounds.lower(start, r, a),
        lambda: single.lower(single.start(flat), r, a),
        lambda: single.lower(single_start, r, a),
    ]
    seconds = [best(each, REPEATS) for each in ours]
    point, double, less = (
        margins.min(axis=1) for margins in (bounds.lower(start, 0.0 * r, a), ours[1](), ours[3]())
    )
    loss = np.median((double - less) / (point - double))
    shown = [f"{1e3 * s:.1f}" for s in seconds]
    if theirs is None:
        return ["", *shown, f"{loss:.1e}", "not installed", "", ""]
    low, high = ends(bounds(around(flat, r)))
    bounded = theirs(net, x)
    lower, upper = bounded()
    gap = max(np.abs(low - lower).max(), np.abs(high - upper).max())
    other = best(bounded, REPEATS)
    other32 = best(theirs(deepcopy(net).float(), x.float()), REPEATS)
    faster = "; ".join(f"{other / s:.1f}" for s in seconds)
    return [
        f"{gap:.1e}",
        *shown,
        f"{loss:.1e}",
        f"{1e3 * other:.1f}",
        f"{1e3 * other32:.1f}",
        faster,
    ]


def _library() -> Any:
    """From a module and inputs to a function that bounds its logits with auto_LiRPA, in their
    precision; None without it."""
    try:
        library = importlib.import_module("auto_LiRPA")
        perturbations = importlib.import_module("auto_LiRPA.perturbations")
    except ImportError:
        return None

    def of(net: nn.Module, x: Tensor) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        torch.set_default_dtype(x.dtype)
        module = library.BoundedModule(net, torch.zeros_like(x[:1]))
        ball = perturbations.PerturbationLpNorm(norm=math.inf, eps=EPS)
        boxed = library.BoundedTensor(x, ball)

        def bounded() -> tuple[np.ndarray, np.ndarray]:
            with torch.no_grad():
                lower, upper = module.compute_bounds(x=(boxed,), method="IBP")
            return lower.numpy(), upper.numpy()

        return bounded

    return of


def contained(points: int = POINTS, seed: int = 0) -> tuple[int, int, float]:
    """Points tried, how many were outside of their box or below a margin in single precision, and the
    largest width over that of the unrolled network."""
    rng, tried, outside, widest = np.random.default_rng(seed), 0, 0, 0.0
    while tried < points:
        n, d, q = (int(v) for v in (rng.integers(1, 60), rng.integers(1, 12), rng.integers(2, 6)))
        W = rng.standard_normal((n, n))
        W *= rng.uniform(0.1, 0.7) / np.linalg.norm(np.abs(W), 2)
        U, G = rng.standard_normal((n, d)), rng.standard_normal((q, n))
        b_z, b_y = rng.standard_normal(n), rng.standard_normal(q)
        W, U, G, b_z, b_y = (torch.from_numpy(a) for a in (W, U, G, b_z, b_y))
        block = Equilibrium(W, U, G, b_z, b_y, Sigma.of(ReLU(), n))
        net, x = Network([block]), rng.standard_normal((20, d))
        r = 10.0 ** rng.uniform(-4.0, 0.5, 20)
        bounds, a = IntervalBounds(net), rng.integers(0, q, 20)
        low, high = ends(bounds(around(x, r)))
        single = SingleBounds(bounds).around(x, a)(r)
        inputs = attacked(net, x, r, rng)
        with torch.no_grad():
            y = Evaluator(net)(torch.from_numpy(inputs.reshape(-1, d))).numpy()
        y = y.reshape(len(inputs), 20, q)
        room = 1e-9 * (1.0 + np.abs(y))
        margins = y[:, np.arange(20), a][:, :, None] - y
        held = (y >= low - room) & (y <= high + room)
        held &= (margins >= single - 2.0 * room) | (np.arange(q) == a[:, None])
        outside += int((~held).any(axis=2).sum())
        tried += y.shape[0] * 20
        plain = unrolled(block, x, r)
        widest = max(widest, float(((high - low) / (plain + 1e-6)).max()))
    return tried, outside, widest


def attacked(
    net: Network, x: np.ndarray, r: np.ndarray, rng: np.random.Generator, count: int = 100
) -> np.ndarray:
    """Points (count, batch, d) of the balls of radius r: half of them corners."""
    offset = rng.uniform(-1.0, 1.0, (count, *x.shape))
    offset[: count // 2] = np.sign(offset[: count // 2])
    moved = torch.from_numpy(x).requires_grad_(True)
    y = Evaluator(net, strict=False)(moved)
    for k in range(y.shape[1]):
        (slope,) = torch.autograd.grad(y[:, k].sum(), moved, retain_graph=True)
        offset[2 * k], offset[2 * k + 1] = np.sign(slope.numpy()), -np.sign(slope.numpy())
    return x + (1.0 - 1e-12) * r[:, None] * offset


def unrolled(block: Equilibrium, x: np.ndarray, r: np.ndarray, steps: int = 50) -> np.ndarray:
    """Widths of the logits by plain interval arithmetic of so many layers, from z = 0."""
    W, U, G = (a.numpy() for a in (block.W, block.U, block.G))
    c, cr = x @ U.T + block.b_z.numpy(), np.abs(U).sum(axis=1) * r[:, None]
    low = high = np.zeros_like(c)
    for _ in range(steps):
        mid, rad = (low + high) / 2 @ W.T + c, (high - low) / 2 @ np.abs(W).T + cr
        low, high = np.maximum(mid - rad, 0.0), np.maximum(mid + rad, 0.0)
    return (high - low) @ np.abs(G).T
