"""What holds of an equilibrium block everywhere: of its one matrix, or of the blocks of all frequencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.linalg.rigorous import UpperBound, is_positive_definite, negative_direction
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.frequencies import largest_norm
from certlip.linalg.rigorous.posterior import are_positive_definite
from certlip.linalg.rigorous.rounding import TINY, U, up
from certlip.lmi.conditions import Conditions
from certlip.lmi.forms import Forms, forms_of
from certlip.lmi.slack import SLACK

#: One of the conditions with its multipliers: of a batch of frequencies a batch of matrices.
Matrix = Callable[[Conditions], Ball]


class Everywhere:
    """The conditions of one block, or of all these forms.

    Definiteness is proven by verified Cholesky on the CPU; on another device, whose factorization is not
    known to be an ordinary one, a posteriori from products alone.
    """

    def __init__(
        self, of: Equilibrium | ConvEquilibrium | Iterable[Forms], device: str = "cpu"
    ) -> None:
        implicit = isinstance(of, Equilibrium | ConvEquilibrium)
        self.forms = forms_of(of) if implicit else of
        self.is_definite: Callable[[Ball], bool] = (
            _by_cholesky if device == "cpu" else partial(a_posteriori, device=device)
        )

    def __iter__(self) -> Iterator[Conditions]:
        return map(Conditions, self.forms)

    def definite(self, matrix: Matrix) -> bool:
        """Whether the matrix is proven to be positive definite."""
        return all(self.is_definite(matrix(each)) for each in self)

    def negative(self, matrix: Matrix) -> float | None:
        """A proven upper bound of xᵀMx < 0 for a unit vector x and one of the matrices, if found."""
        for each in self:
            found = negative_direction(matrix(each))
            if found is not None:
                return found[1]
        return None

    def smallest_eigenvalue(self, matrix: Callable[[Conditions], np.ndarray]) -> float:
        """An estimate, NaN where an entry is not finite."""
        values = [_smallest_eigenvalue(matrix(each)) for each in self]
        return float(np.min(values))  # NaN, if there is one

    def output_norm(self, gam: np.ndarray) -> UpperBound:
        """‖GΓ^{−1/2}‖₂, rounded up."""
        return largest_norm(of.G * _inverse_root(of.spread(gam))[None, :] for of in self.forms)

    def input_norm(self, gam: np.ndarray) -> UpperBound:
        """‖Γ^{1/2}U‖₂, rounded up."""
        return largest_norm(_root(of.spread(gam))[:, None] * of.U for of in self.forms)

    def state_norm(self, gam: np.ndarray) -> UpperBound:
        """‖Γ^{1/2}WΓ^{−1/2}‖₂, rounded up."""

        def weighted(of: Forms) -> Ball:
            rows = of.spread(gam)
            return _root(rows)[:, None] * of.W * _inverse_root(rows)[None, :]

        return largest_norm(map(weighted, self.forms))


def _by_cholesky(ball: Ball) -> bool:
    return is_positive_definite(ball, slack=SLACK)


def a_posteriori(ball: Ball, device: str) -> bool:
    """Whether all matrices of the ball are proven to be positive definite by products on a device."""
    S = torch.from_numpy(np.ascontiguousarray(ball.mid)).to(device)
    R = torch.from_numpy(np.ascontiguousarray(ball.radius())).to(device)
    return bool(are_positive_definite(S, R, slack=SLACK).all())


def _smallest_eigenvalue(matrix: np.ndarray) -> float:
    return float(np.linalg.eigvalsh(matrix).min()) if np.isfinite(matrix).all() else np.nan


def _root(gam: np.ndarray) -> Ball:
    root = np.sqrt(gam)
    return Ball(root, up(U * root))


def _inverse_root(gam: np.ndarray) -> Ball:
    inverse = 1.0 / np.sqrt(gam)  # two roundings: relative error below 3u
    return Ball(inverse, up(3.0 * U * inverse) + TINY)
