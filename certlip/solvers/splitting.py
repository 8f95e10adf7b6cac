"""What the two operator splittings share: a step α and how many iterations they are given."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.errors import InputError
from certlip.solvers.base import EquilibriumSolver


class Splitting(EquilibriumSolver):
    """A solver with a step α, chosen from W unless it is given.

    Raises:
        InputError: α is not positive and finite.
    """

    most_iterations: ClassVar[int]

    def __init__(
        self,
        W: Tensor,
        sigma: Sigma,
        *,
        alpha: float | None = None,
        tol: float | None = None,
        max_iter: int | None = None,
    ) -> None:
        most = self.most_iterations if max_iter is None else max_iter
        super().__init__(W, sigma, tol=tol, max_iter=most)
        alpha = self.default_step(W) if alpha is None else alpha
        if not 0.0 < alpha < float("inf"):
            raise InputError(f"step alpha = {alpha}: expected a positive finite number")
        self.alpha = float(alpha)
        self.prepare()

    def prepare(self) -> None:
        """What depends on W and α alone is computed here, once."""

    @staticmethod
    @abstractmethod
    def default_step(W: Tensor) -> float:
        """A step that suits W."""
