"""Implicit gradients against central differences and against the graph of an unrolled iteration."""

from typing import Any

import numpy as np
import pytest
import torch

from certlip import solvers
from certlip.blocks.activations import Sigma, activation
from certlip.solvers import GaussSeidel, PeacemanRachford, Substitution, equilibrium

SOLVERS: dict[str, Any] = {**solvers.SOLVERS}
N, BATCH = 5, 3
KINDS = [
    activation("relu"),
    activation("tanh"),
    activation("leaky_relu", {"slope": 0.1}),
    activation("elu", {"alpha": 0.7}),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
every_solver = pytest.mark.parametrize("name", sorted(SOLVERS))


def tensor(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def problem(name, seed):
    rng = np.random.default_rng(seed)
    A, B = 0.2 * tensor(rng, N, N), 0.3 * tensor(rng, N, N)
    W = 0.5 * torch.eye(N, dtype=torch.float64) - A.T @ A + B - B.T
    if name == Substitution.name:
        W = B.tril(-1)
    if name == GaussSeidel.name:
        W = 0.01 * B  # two blocks of an explicit network plus a small full matrix
        W[3:, :3] += B[3:, :3]
    return W, 2 * tensor(rng, BATCH, N), tensor(rng, BATCH, N)


def unrolled(W, c, sigma, share=0.1, iterations=1200):
    z = torch.zeros_like(c)
    for _ in range(iterations):
        z = z + share * (sigma.forward(z @ W.T + c) - z)
    return z


def gradients(function, W, c, g) -> Any:
    W, c = W.clone().requires_grad_(), c.clone().requires_grad_()
    (function(W, c) * g).sum().backward()
    return W.grad, c.grad


@every_solver
@every_kind
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_equal_those_of_an_unrolled_solve(name, kind, seed):
    W, c, g = problem(name, seed)
    sigma = Sigma.of(kind, N)
    solver = SOLVERS[name](W, sigma, tol=1e-12)
    found = gradients(lambda V, d: equilibrium(V, d, solver)[0], W, c, g)
    expected = gradients(lambda V, d: unrolled(V, d, sigma), W, c, g)
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= 1e-6 * b.norm()


@every_solver
@every_kind
def test_gradients_equal_central_differences(name, kind):
    W, c, g = problem(name, 2)
    sigma = Sigma.of(kind, N)
    solver = SOLVERS[name](W, sigma, tol=1e-13)
    in_W, in_c = gradients(lambda V, d: equilibrium(V, d, solver)[0], W, c, g)

    def value(V, d):
        return float((SOLVERS[name](V, sigma, tol=1e-13).solve(d).z * g).sum())

    rng, h = np.random.default_rng(3), 1e-5
    for _ in range(4):
        dW, dc = tensor(rng, N, N), tensor(rng, BATCH, N)
        if name == Substitution.name:
            dW = dW.tril(-1)
        central = (value(W + h * dW, c + h * dc) - value(W - h * dW, c - h * dc)) / (2 * h)
        slope = float((in_W * dW).sum() + (in_c * dc).sum())
        assert slope == pytest.approx(central, rel=1e-6, abs=1e-7)


def test_the_state_is_that_of_the_solver_with_or_without_a_gradient():
    W, c, _ = problem("", 4)
    solver = PeacemanRachford(W, Sigma.of(KINDS[1], N))
    plain, solution = equilibrium(W, c, solver)
    tracked, _ = equilibrium(W, c.clone().requires_grad_(), solver)
    assert torch.equal(plain, solution.z)
    assert torch.equal(plain, tracked)
    assert solution.converged
    assert not plain.requires_grad
    assert tracked.requires_grad
    with torch.no_grad():
        assert not equilibrium(W, c.clone().requires_grad_(), solver)[0].requires_grad


@pytest.mark.parametrize(("in_W", "in_c"), [(True, False), (False, True)])
def test_one_argument_alone_may_need_a_gradient(in_W, in_c):
    W, c, g = problem("", 5)
    solver = PeacemanRachford(W, Sigma.of(KINDS[1], N))
    both = gradients(lambda V, d: equilibrium(V, d, solver)[0], W, c, g)
    V, d = W.clone().requires_grad_(in_W), c.clone().requires_grad_(in_c)
    (equilibrium(V, d, solver)[0] * g).sum().backward()
    found, expected = (V.grad, both[0]) if in_W else (d.grad, both[1])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert (d.grad if in_W else V.grad) is None


def test_gradients_of_rows_are_separate():
    W, c, g = problem("", 6)
    solver = PeacemanRachford(W, Sigma.of(KINDS[0], N))
    only = torch.zeros_like(g)
    only[1] = g[1]
    _, in_c = gradients(lambda V, d: equilibrium(V, d, solver)[0], W, c, only)
    assert not in_c[[0, 2]].any()
    _, together = gradients(lambda V, d: equilibrium(V, d, solver)[0], W, c, g)
    torch.testing.assert_close(in_c[1], together[1], rtol=0, atol=1e-9)


def test_a_second_derivative_is_refused_not_wrong():
    W, c, g = problem("", 7)
    solver = PeacemanRachford(W, Sigma.of(KINDS[1], N))
    c.requires_grad_()
    value = (equilibrium(W, c, solver)[0] * g).sum()
    (first,) = torch.autograd.grad(value, c, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first.sum(), c)
