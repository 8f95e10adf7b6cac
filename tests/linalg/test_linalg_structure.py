"""The algebra of kernels is that of their matrices: product, adjoint, grids, diagonals, constants."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.linalg.operators import Stencil
from certlip.linalg.structure import DenseStructure, TorusStructure, structure_on
from certlip.linalg.torus import Torus

sides = st.integers(1, 5)


def kernel(o, i, kh, kw, seed=0):
    torch.manual_seed(seed)
    return torch.randn(o, i, kh, kw, dtype=torch.float64)


def matrix(K, torus):
    operator = Stencil(K, torus)
    return operator.apply(torch.eye(operator.in_width, dtype=torch.float64)).mT


@st.composite
def problems(draw):
    height, width = draw(sides), draw(sides)
    taps = [(draw(st.integers(1, height)), draw(st.integers(1, width))) for _ in range(2)]
    return Torus(height, width), taps


@given(problems())
def test_products_and_adjoints_are_those_of_the_matrices(problem):
    torus, (first, second) = problem
    s = TorusStructure(torus)
    A, B = kernel(2, 3, *first), kernel(3, 2, *second, seed=1)
    product = s.product(A, B)
    assert product.shape[2] <= torus.height
    assert product.shape[3] <= torus.width
    expected = matrix(A, torus) @ matrix(B, torus)
    torch.testing.assert_close(matrix(product, torus), expected, rtol=0, atol=1e-12)
    adjoint = s.adjoint(A)
    torch.testing.assert_close(matrix(adjoint, torus), matrix(A, torus).mT, rtol=0, atol=1e-13)
    assert adjoint.shape[2] <= torus.height
    torch.testing.assert_close(matrix(s.array(s.blocks(A)), torus), matrix(A, torus))


@given(problems())
def test_a_grid_is_the_matrix_of_its_blocks(problem):
    torus, (first, second) = problem
    s = TorusStructure(torus)
    A, B = kernel(2, 1, *first), kernel(1, 2, *second, seed=1)
    C, D = kernel(2, 2, *second, seed=2), kernel(1, 1, 1, 1, seed=3)
    grid = s.grid([[A, C], [D, B]])
    rows = [
        torch.cat([matrix(A, torus), matrix(C, torus)], 1),
        torch.cat([matrix(D, torus), matrix(B, torus)], 1),
    ]
    assert torch.equal(matrix(grid, torus), torch.cat(rows))
    assert max(grid.shape[2] - torus.height, grid.shape[3] - torus.width) <= 0


@pytest.mark.parametrize("torus", [None, Torus(3, 4)])
def test_diagonals_and_constants(torus):
    s = structure_on(torus)
    values = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    A = kernel(2, 3, 3, 2) if torus else torch.randn(2, 3, dtype=torch.float64)
    x = torch.randn(4, 3 * s.repeat, dtype=torch.float64)
    diagonal = s.map(s.diagonal(values))
    assert torch.equal(diagonal.apply(x), x * s.spread(values))
    torch.testing.assert_close(
        s.map(s.columns(A, values)).apply(x), s.map(A).apply(x * s.spread(values))
    )
    constant = torch.randn(1, 3, dtype=torch.float64)
    torch.testing.assert_close(
        s.map(A).apply(s.spread(constant[0])[None])[0],
        s.spread((constant @ s.on_constant(A).mT)[0]),
    )


def test_arrays_of_the_wrong_kind_are_refused():
    with pytest.raises(InputError, match="expected a matrix"):
        DenseStructure().check("A", kernel(2, 2, 1, 1))
    with pytest.raises(InputError, match="at most 3×4 taps"):
        TorusStructure(Torus(3, 4)).check("A", kernel(2, 2, 4, 1))
