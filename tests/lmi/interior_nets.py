"""Problems with a point inside, for tests of barriers and of where paths begin."""

import pytest
import torch
from hypothesis import strategies as st

from certlip.lmi.interior.lipschitz import LipschitzBarrier
from certlip.lmi.interior.start import lipschitz_start
from certlip.lmi.problem import Problem

seeds = st.integers(0, 2**32 - 1)


def problem_of(seed, n=3, r=2, q=2, frequencies=1, count=1, kind=torch.float64):
    """Blocks for which Γ = I satisfies (3)."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=kind)

    A, B = normal(2, frequencies, n, n)
    W = 0.5 * torch.eye(n, dtype=kind) - A @ A.mH / n + B - B.mH
    return Problem(W, normal(frequencies, n, r), normal(count, frequencies, q, n))


def inner_point(problem, seed=0):
    """A point of the domain that is not symmetric in any way, and the barrier."""
    x = lipschitz_start(problem, torch.ones(problem.n, dtype=torch.float64))
    assert x is not None
    factors = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).double()
    x = x * (1.0 + 0.02 * factors)
    return x, LipschitzBarrier.of(problem, (3.0 + factors[:, :-1]) * x[:, :-1])


every_kind = pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
