"""The falsifier: ℓ2 projected gradient steps inside certified balls, as a cross-check.

An attack that finds another class inside a certified radius has found a bug. It only counts when it
is proven: the distance is bounded from above, the logits at the found point are enclosed, and
another class is larger by more than the enclosure. Finding nothing proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import Network
from certlip.certify.enclosure import Encloser
from certlip.certify.enclosure.network import ROWS
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.bounds import SQRT2
from certlip.linalg.rigorous.rounding import down, up
from certlip.lmi import NetworkProof
from certlip.solvers import Evaluator


@dataclass(frozen=True)
class Falsification:
    """What the attack did. `broken` lists (index, x′, distance, class) of proven counterexamples."""

    attacked: int
    steps: int
    restarts: int
    broken: tuple[tuple[int, np.ndarray, float, int], ...]

    def summary(self) -> dict[str, int]:
        return {
            "attacked": self.attacked,
            "steps": self.steps,
            "restarts": self.restarts,
            "broken": len(self.broken),
        }


def falsify(
    network: Network,
    proof: NetworkProof,
    x: np.ndarray,
    predicted: np.ndarray,
    radius: np.ndarray,
    *,
    steps: int = 20,
    restarts: int = 2,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> Falsification:
    """Attacks each x[i] (n, d) inside the closed ball of radius[i] > 0 around it.

    The first restart starts at x, the others at random points of the ball. Gradients of equilibrium
    blocks are implicit; they and the attack run in float32, confirmation in rigorous float64.
    """
    evaluator = Evaluator(network, dtype=torch.float32, device=device, tol=1e-4, strict=False)
    encloser = Encloser(network, proof, device=device)
    generator = torch.Generator().manual_seed(seed)
    broken: list[tuple[int, np.ndarray, float, int]] = []
    for start in range(0, len(x), ROWS):
        rows = slice(start, min(start + ROWS, len(x)))
        centre, r, label = x[rows], radius[rows], predicted[rows]
        left = np.ones(len(centre), dtype=bool)
        for restart in range(restarts):
            found = _ascend(
                evaluator, centre, label, r, steps, generator if restart else None, device
            )
            for i, distance, other in _confirmed(encloser, centre, found, label, r):
                if left[i]:
                    broken.append((start + i, found[i], distance, other))
                    left[i] = False
        if on_progress is not None:
            on_progress(rows.stop, len(x))
    return Falsification(len(x), steps, restarts, tuple(broken))


def _ascend(
    evaluator: Evaluator,
    x: np.ndarray,
    label: np.ndarray,
    radius: np.ndarray,
    steps: int,
    generator: torch.Generator | None,
    device: str,
) -> np.ndarray:
    """Points of the balls where another logit comes closest to the label's."""
    centre = torch.from_numpy(x).to(device, torch.float32)
    r = torch.from_numpy(radius).to(device, torch.float32)[:, None]
    a = torch.from_numpy(label).to(device)
    d = torch.zeros_like(centre)
    if generator is not None:
        noise = torch.randn(d.shape, generator=generator).to(device)
        share = torch.rand((len(d), 1), generator=generator).to(device)
        d = _unit(noise) * r * share ** (1.0 / d.shape[1])
    best, best_gain = d, torch.full((len(d),), -torch.inf, device=device)
    states: dict[int, Tensor] = {}
    for step in range(steps + 1):
        d = d.detach().requires_grad_(step < steps)
        y, solutions = evaluator.run(centre + d, states)
        states = {k: s.z.detach() for k, s in solutions.items()}
        others = y.scatter(1, a[:, None], -torch.inf)
        gain = others.amax(dim=1) - y.gather(1, a[:, None])[:, 0]
        better = gain.detach() > best_gain
        best = torch.where(better[:, None], d.detach(), best)
        best_gain = torch.where(better, gain.detach(), best_gain)
        if step < steps:
            (slope,) = torch.autograd.grad(gain.sum(), d)
            moved = d.detach() + (2.5 / steps) * r * _unit(slope)
            d = moved * (r / moved.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp_max(1.0)
    # back to double, and strictly inside the ball whatever float32 did
    offset = best.double().cpu().numpy()
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    limit = radius[:, None] * (1.0 - 1e-9)
    return x + offset * np.minimum(1.0, limit / np.maximum(length, 1e-300))


def _unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=1, keepdim=True).clamp_min(1e-30)


def _confirmed(
    encloser: Encloser, x: np.ndarray, found: np.ndarray, label: np.ndarray, radius: np.ndarray
) -> list[tuple[int, float, int]]:
    """Rows where another class is proven to be at least as large inside the ball."""
    distance = (Ball(found) - Ball(x)).norm_upper()
    enclosure = encloser(np.ascontiguousarray(found))
    row = np.arange(len(label))
    lead = enclosure.y - enclosure.y[row, label][:, None]
    lead[row, label] = -np.inf
    other = lead.argmax(axis=1)
    proven = down(down(lead[row, other]) - up(SQRT2.value * enclosure.error)) >= 0.0
    inside = distance <= radius
    return [(int(i), float(distance[i]), int(other[i])) for i in np.flatnonzero(proven & inside)]
