"""Systems of several large matrices, with the number of threads set and not set."""

import pytest
import torch

from certlip.linalg import solve as solve_module
from certlip.linalg.operators import Dense
from certlip.linalg.operators.paired import Paired
from certlip.linalg.solve import LARGE, solve


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def matrices(batch, n, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*batch, n, n, dtype=dtype, generator=generator)
    return 2.0 * torch.eye(n, dtype=dtype) - 0.3 * noise / n**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128])
@pytest.mark.parametrize("n", [3, LARGE - 1, LARGE, 192, 384])
def test_every_system_of_a_batch_is_solved(threads, dtype, n):
    for batch in ((), (1,), (3,), (2, 2)):
        A = matrices(batch, n, dtype)
        B = torch.eye(n, 5, dtype=dtype).expand(*batch, n, 5)
        x = solve(A, B)
        assert x.shape == B.shape
        assert float((A @ x - B).abs().max()) <= 1e3 * torch.finfo(dtype).eps


@pytest.mark.parametrize("n", [40, 256])
def test_resolvents_of_pairs_undo_what_they_are_of(threads, n):
    W = 0.5 * matrices((), n, torch.float64)
    pair = Paired(Dense(W), Dense(W.abs()))
    x = torch.randn(2, 2 * n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    back = pair.resolvent(0.1).apply(x + 0.1 * (x - pair.apply(x)))
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)


def test_slopes_are_those_of_one_matrix_at_a_time(monkeypatch):
    A, B = matrices((2,), 6, torch.float64), matrices((2,), 6, torch.float64, seed=1)
    monkeypatch.setattr(solve_module, "LARGE", 4)
    A.requires_grad_(True)
    B.requires_grad_(True)
    assert torch.autograd.gradcheck(solve, (A, B))


@pytest.mark.parametrize("n", [3, 2 * LARGE])
def test_a_singular_matrix_is_refused(n):
    A = torch.eye(n).repeat(2, 1, 1)
    A[1, 0, 0] = 0.0
    with pytest.raises(RuntimeError, match="singular"):
        solve(A, torch.eye(n).expand(2, n, n))
