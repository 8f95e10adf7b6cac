"""What tests of solvers through cvxpy share: the solvers that are here, and the truth for a given Λ."""

from itertools import pairwise

import numpy as np
import pytest
from lmi_nets import block_of

from certlip.linalg.rigorous import is_positive_definite
from certlip.lmi import Conditions
from certlip.lmi.candidate import INACCURATE, OPTIMAL
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.problem import Problem
from certlip.lmi.solvers import SOLVERS, solver_named

NAMES = [name for name, kind in SOLVERS.items() if kind.method == "cvxpy"]
#: relu(x) − relu(x − 1)
RELU_DIFFERENCE = block_of(np.zeros((2, 2)), [[1.0], [1.0]], [[1.0, -1.0]])
every_solver = pytest.mark.parametrize("name", NAMES)


def solver(name, **options):
    """The solver, or a skip with the reason why it cannot be used."""
    why = SOLVERS[name].missing()
    if why is not None:
        pytest.skip(why)
    return solver_named(name, **options)


def only(candidates):
    (candidate,) = candidates
    return candidate


def proven(block, candidate, factor=1.0):
    """Whether (10) is proven with Λ of the candidate and its L times a factor."""
    lip = candidate.lip * factor
    return Everywhere(block).definite(lambda each: each.lipschitz(candidate.lam, lip))


def closed_lip(W, U, G, tilde):
    """√λ_max(UᵀΛ̃M⁻¹Λ̃U) with M = 2Λ̃ − Λ̃W − WᵀΛ̃ − GᵀG: the smallest L for this Λ̃; ∞ unless M ≻ 0."""
    M = 2 * np.diag(tilde) - tilde[:, None] * W - (tilde[:, None] * W).T - G.T @ G
    if np.linalg.eigvalsh(M)[0] <= 0:
        return np.inf
    tilde_U = tilde[:, None] * U
    return np.sqrt(np.linalg.norm(tilde_U.T @ np.linalg.solve(M, tilde_U), 2))


def chain(widths, size, seed=0):
    """W, U, G of y = W_K σ(W_{K−1} … σ(W_0 x)), and the product of the norms."""
    rng = np.random.default_rng(seed)
    layers = [size * rng.standard_normal((o, i)) / np.sqrt(i) for i, o in pairwise(widths)]
    n, at = sum(widths[1:-1]), np.cumsum([0, *widths[1:-1]])
    W, U, G = np.zeros((n, n)), np.zeros((n, widths[0])), np.zeros((widths[-1], n))
    U[: widths[1]], G[:, at[-2] :] = layers[0], layers[-1]
    for k, layer in enumerate(layers[1:-1]):
        W[at[k + 1] : at[k + 2], at[k] : at[k + 1]] = layer
    return W, U, G, np.prod([np.linalg.norm(layer, 2) for layer in layers])


def definite_at(block, lam, lip):
    return is_positive_definite(Conditions(block).lipschitz(lam, lip))


def arrays(block):
    return block.W.numpy(), block.U.numpy(), block.G.numpy()


def found(name, block, **options):
    candidate = only(solver(name, **options).minimise(Problem.of(block)))
    # of blocks per frequency half are conjugates of others: "almost solved" to 1e-8 is all it takes
    assert candidate.status in (OPTIMAL, INACCURATE), candidate.message
    assert candidate.solver == name
    assert candidate.iterations > 0
    assert candidate.seconds > 0
    assert candidate.gap is not None
    assert 0 <= candidate.gap < 1e-2
    return candidate
