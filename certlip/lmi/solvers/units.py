"""Units of x, y and z in which the numbers of a problem are of order one, with nothing rounded.

With z_i measured in t_i, x in u and y in g the problem has T⁻¹WT, T⁻¹U/u, GT/g in place of W, U, G. Its Γ
and Λ are T²Γ and (u/g)T²Λ, its L is L/(ug).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from certlip.lmi.problem import Problem
from certlip.lmi.solvers.scaled import balanced


@dataclass(frozen=True)
class Units:
    """t (n,), u and g, powers of two."""

    t: Tensor
    u: float
    g: float

    @classmethod
    def of(cls, problem: Problem) -> Units:
        outputs = problem.G.transpose(0, 1).flatten(1, 2)  # (F, Bq, n), the rows of all output maps
        blocks = (array.cpu().resolve_conj().numpy() for array in (problem.W, problem.U, outputs))
        with np.errstate(all="ignore"):  # NaN is taken as 1
            t = torch.from_numpy(balanced(*blocks)).to(problem.W.device)
        t = torch.exp2(t.log2().nan_to_num(0.0, 0.0, 0.0).round())
        return cls(t, _size(problem.U / t[:, None]), _size(problem.G * t))

    def scaled(self, problem: Problem) -> Problem:
        """The problem in these units."""
        t = self.t[:, None]
        return Problem(problem.W * self.t / t, problem.U / t / self.u, problem.G * self.t / self.g)

    def gam(self, scaled: Tensor) -> Tensor:
        """Γ (n,) from that of the scaled problem."""
        return scaled / self.t**2

    def lam(self, scaled: Tensor) -> Tensor:
        """Λ (n,) from that of the scaled problem."""
        return scaled / self.t**2 * self.g / self.u

    def lip(self, scaled: float) -> float:
        """L from that of the scaled problem."""
        return scaled * self.u * self.g


def _size(array: Tensor) -> float:
    """The power of two near the largest absolute value, 1 where that is 0 or not finite."""
    largest = array.abs().max()
    return float(torch.exp2(largest.log2().round())) if 0.0 < largest < torch.inf else 1.0
