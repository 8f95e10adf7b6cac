"""The baseline of the benchmark computes what certlip computes."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from certlip.blocks import ConvEquilibrium, Equilibrium, Sigma, dense_form
from certlip.blocks.activations import activation
from certlip.blocks.dense_form import kernel_matrix
from certlip.equilibrium.lben import lben_weight
from certlip.linalg.torus import Torus
from certlip.solvers import PeacemanRachford

HEIGHT, WIDTH, N, C, Q, LINEAR = 4, 5, 3, 2, 2, 1


@pytest.fixture(scope="module")
def textbook():
    """The module of the baseline; `benchmarks` lies beside the package and is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).resolve().parents[1])
        return importlib.import_module("benchmarks.textbook")


def t(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def parameters(*, kernels: bool):
    """Random parameters, with kernels of several sizes or as matrices."""
    taps = {"U": (2, 3), "G": (3, 1), "V": (HEIGHT, WIDTH), "S": (HEIGHT, WIDTH)}
    shapes = {"U": (N, C), "G": (Q, N), "V": (N, N), "S": (N, N)}
    shapes = {k: s + taps[k] if kernels else s for k, s in shapes.items()}
    made = {k: 0.3 * t(*shapes[k], seed=i) for i, k in enumerate(shapes)}
    made |= {"log_psi": 0.3 * t(N, seed=5), "b_z": t(N, seed=6), "b_y": t(Q, seed=7)}
    return {**made, "relu": torch.arange(N) >= LINEAR, "lip": 1.5, "eps": 0.1}


def matrices(p):
    """The parameters of a convolutional LBEN as those of the dense one it is."""
    torus = Torus(HEIGHT, WIDTH)
    dense = {k: kernel_matrix(p[k], torus, "circular") for k in "UGVS"}
    units = {k: p[k].repeat_interleave(torus.pixels) for k in ("log_psi", "b_z", "b_y", "relu")}
    return {**p, **dense, **units}


def frozen(p):
    """The dense equilibrium block, with certlip's own W."""
    W = lben_weight(p["log_psi"], p["U"], p["G"], p["V"], p["S"], p["lip"], p["eps"])
    linear = int((~p["relu"]).sum())
    kinds = ((activation("identity"), linear), (activation("relu"), len(p["relu"]) - linear))
    return Equilibrium(W, p["U"], p["G"], p["b_z"], p["b_y"], Sigma(kinds))


def solved(block, x):
    solution = PeacemanRachford(block.W, block.sigma).solve(x @ block.U.mT + block.b_z)
    assert solution.converged
    return solution.z @ block.G.mT + block.b_y


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_the_dense_baseline_agrees_with_certlip(textbook, alpha):
    p = parameters(kernels=False)
    x = t(3, C, seed=8)
    answer = textbook.TextbookDense(**p, alpha=alpha)(x, tol=1e-12)
    assert answer.converged
    torch.testing.assert_close(answer.y, solved(frozen(p), x), atol=1e-9, rtol=0.0)


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_the_convolutional_baseline_agrees_with_the_dense_one_and_with_certlip(textbook, alpha):
    p = parameters(kernels=True)
    x = t(3, C * HEIGHT * WIDTH, seed=8)
    model = textbook.TextbookLBEN(height=HEIGHT, width=WIDTH, **p, alpha=alpha)
    answer = model(x, tol=1e-12)
    assert answer.converged
    torch.testing.assert_close(answer.y, solved(frozen(matrices(p)), x), atol=1e-9, rtol=0.0)
    dense = textbook.TextbookDense(**matrices(p), alpha=alpha)(x, tol=1e-12)
    assert answer.iterations == dense.iterations  # the same iteration in other coordinates
    torch.testing.assert_close(answer.z, dense.z, atol=1e-9, rtol=0.0)


def test_its_weight_is_that_of_a_frozen_convolution(textbook):
    """W as a kernel, by the half spectrum of certlip, against W at all frequencies."""
    p = parameters(kernels=True)
    model = textbook.TextbookLBEN(height=HEIGHT, width=WIDTH, **p)
    W = model.weight(*(model.blocks(p[k]) for k in "UGVS"))
    torus = Torus(HEIGHT, WIDTH)
    half = W.reshape(-1, N, N)[: torus.frequencies]
    sigma = Sigma(((activation("identity"), 20 * LINEAR), (activation("relu"), 20 * (N - LINEAR))))
    block = ConvEquilibrium(
        *(torus.kernel(half), p["U"], p["G"], p["b_z"], p["b_y"], sigma, HEIGHT, WIDTH)
    )
    (dense,) = dense_form(block)
    torch.testing.assert_close(dense.W, frozen(matrices(p)).W, atol=1e-12, rtol=0.0)


def test_it_stops_at_the_tolerance_and_says_when_it_does_not(textbook):
    p = parameters(kernels=False)
    x = t(4, C, seed=8)
    loose, tight = (textbook.TextbookDense(**p)(x, tol=tol) for tol in (1e-2, 1e-10))
    assert loose.iterations < tight.iterations
    block = frozen(p)
    for answer, tol in ((loose, 1e-2), (tight, 1e-10)):
        v = answer.z @ block.W.mT + x @ block.U.mT + block.b_z
        residual = (answer.z - block.sigma.forward(v)).norm(dim=1)
        torch.testing.assert_close(answer.residual, residual, atol=1e-13, rtol=1e-6)
        assert bool((residual <= 1.001 * tol * (1.0 + answer.z.norm(dim=1))).all())
    stopped = textbook.TextbookDense(**p)(x, tol=1e-10, max_iter=5)
    assert (stopped.converged, stopped.iterations) == (False, 5)


def test_the_step_of_fewest_iterations_is_chosen(textbook):
    p = parameters(kernels=True)
    x = t(2, C * HEIGHT * WIDTH, seed=8)
    model = textbook.TextbookLBEN(height=HEIGHT, width=WIDTH, **p)
    steps = (0.05, 0.3, 5.0)
    alpha = model.tuned(x, tol=1e-8, steps=steps)
    counts = {}
    for step in steps:
        model.alpha = step
        counts[step] = model(x, tol=1e-8).iterations
    assert counts[alpha] == min(counts.values()) < max(counts.values())
