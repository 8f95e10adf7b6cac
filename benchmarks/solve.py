"""Solving the demo's fine-tuned LBEN (n = 576, W full) for 256 digits to a relative residual of 1e-11, and
its adjoint system, against Peaceman–Rachford; its resolvent is not counted."""

from __future__ import annotations

import torch

from benchmarks.models import trained
from benchmarks.timing import best
from certlip.blocks import Equilibrium
from certlip.data import load
from certlip.solvers import Anderson, GaussSeidel, PeacemanRachford


def run() -> list[list[str]]:
    block = trained()["lben"].blocks[0]
    assert isinstance(block, Equilibrium)
    x = torch.from_numpy(load("digits", limit=256).x)
    c = x @ block.U.T + block.b_z
    rows = [["solver", "iterations", "solve, ms", "ratio", "adjoint, ms", "ratio"]]
    base = None
    for kind in (PeacemanRachford, Anderson, GaussSeidel):
        solver = kind(block.W, block.sigma)
        solution = solver.solve(c)
        J = block.sigma.derivative(solution.z @ block.W.T + c)
        torch.manual_seed(0)
        g = torch.randn_like(c)
        times = [
            best(lambda s=solver: s.solve(c)),
            best(lambda s=solver, J=J, g=g: s.adjoint(J, g)),
        ]
        base = base or times
        cells = [f"{1e3 * t:.1f}" for t in times]
        ratios = [f"{b / t:.1f}" for b, t in zip(base, times, strict=True)]
        rows.append([kind.name, str(solution.iterations), cells[0], ratios[0], cells[1], ratios[1]])
    return rows
