"""The network under attack, as the searches evaluate it: fast, tightly, or as it is deployed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import Network
from certlip.certification.semantics import Steps
from certlip.solvers import Evaluator
from certlip.solvers.steps import Stepped

#: Relative tolerances of equilibria: in float32 for many cheap steps, in float64 for exact gradients.
FAST, TIGHT = 1e-4, 1e-10
#: Of an equilibrium that did not converge: a relative residual from which on its logits say nothing.
FAR = 1e-8


class Target:
    """One network; solvers are prepared when they are first needed.

    Nothing that is computed here is believed: a judge decides what counts.
    """

    def __init__(
        self, network: Network, *, device: str = "cpu", steps: Steps | None = None
    ) -> None:
        self.network, self.device, self.steps = network, device, steps
        self._states: dict[int, Tensor] = {}

    @cached_property
    def fast(self) -> Evaluator:
        return self._evaluator(torch.float32, FAST)

    @cached_property
    def tight(self) -> Evaluator:
        return self._evaluator(torch.float64, TIGHT)

    @cached_property
    def deployed(self) -> Callable[[Tensor], Tensor]:
        """The float32 evaluation that float32 semantics speaks of."""
        if self.steps is not None:
            return Stepped(self.network, self.steps.count, self.steps.alpha, device=self.device)
        return Evaluator(self.network, dtype=torch.float32, device=self.device)

    def logits(self, points: np.ndarray) -> Tensor:
        """f(points) (n, classes), tightly, and NaN in rows whose equilibrium was not reached.

        Equilibria start from those of the last n points.
        """
        x = torch.from_numpy(points).to(self.device)
        states = {k: z for k, z in self._states.items() if len(z) == len(x)}
        with torch.no_grad():
            y, solutions = self.tight.run(x, states)
        self._states = {k: s.z for k, s in solutions.items()}
        for solution in solutions.values():
            if not solution.converged:
                far = ~(solution.residual <= FAR * (1.0 + solution.z.norm(dim=1)))
                y = torch.where(far[:, None], torch.nan, y)
        return y

    def _evaluator(self, dtype: torch.dtype, tol: float) -> Evaluator:
        return Evaluator(self.network, dtype=dtype, device=self.device, tol=tol, strict=False)


class Walk:
    """Values and slopes of a gain along a path; equilibria start from those of the step before."""

    def __init__(self, evaluator: Evaluator, gain: Callable[[Tensor], Tensor]) -> None:
        self.evaluator, self.gain = evaluator, gain
        self.states: dict[int, Tensor] = {}

    def value(self, x: Tensor) -> Tensor:
        """gain(f(x)) (n,)."""
        with torch.no_grad():
            return self.gain(self._logits(x))

    def slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The gain and its gradient in x (n, d); equilibria are differentiated implicitly."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = self.gain(self._logits(x))
            (slope,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)

    def highest(
        self, centre: Tensor, d: Tensor, move: Callable[[int, Tensor, Tensor], Tensor], steps: int
    ) -> Tensor:
        """The offset (n, dim) of the largest gain from d on: step k goes to move(k, d, slope)."""
        best, most = d, torch.full((len(d),), -torch.inf, dtype=d.dtype, device=d.device)
        for step in range(steps):
            gain, slope = self.slope(centre + d)
            better = gain > most
            best, most = torch.where(better[:, None], d, best), torch.where(better, gain, most)
            d = move(step, d, slope)
        return torch.where((self.value(centre + d) > most)[:, None], d, best)

    def _logits(self, x: Tensor) -> Tensor:
        y, solutions = self.evaluator.run(x, self.states)
        self.states = {k: s.z.detach() for k, s in solutions.items()}
        return y


def lead(y: Tensor, label: Tensor) -> Tensor:
    """How far the best other logit is ahead of the label's, (n,)."""
    others = y.scatter(1, label[:, None], -torch.inf)
    return others.amax(dim=1) - y.gather(1, label[:, None])[:, 0]
