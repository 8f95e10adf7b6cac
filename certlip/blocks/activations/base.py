"""What an activation is: an elementwise function with slopes in a known interval.

Only functions with slopes in [0, 1] may appear inside an equilibrium, a residual block or a proof
of (3), (4), (10); they are the proximal operators of convex functions f, σ = prox_f (Winston &
Kolter, 2020).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class ActivationKind(ABC):
    """One elementwise function; instances are immutable and compare by name and parameters."""

    name: str
    slopes: tuple[float, float]
    #: Bound of |computed − exact|/|computed| of `forward` in float64 (0: exact, 2⁻⁵³: rounded).
    relative_error: float
    #: Where the bound is an assumption about the mathematics library rather than IEEE arithmetic.
    assumed: bool = False

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name; with `name` they determine the function."""
        return {}

    @abstractmethod
    def forward(self, v: Tensor) -> Tensor:
        """σ(v), elementwise, same shape and dtype."""

    @abstractmethod
    def derivative(self, v: Tensor) -> Tensor:
        """A generalized derivative of σ at v, in `slopes`."""

    def prox(self, v: Tensor, alpha: float | Tensor) -> Tensor:
        """prox_{αf}(v), σ = prox_f: the z = σ(w) with (1 − α)σ(w) + αw = v; α > 0, also per coordinate.

        The left side is increasing in w with slope in [min(1, α), max(1, α)], so a bracketed Newton
        iteration always converges; subclasses with a closed form override this. An entry stops one
        step after its own excess is rounding: the others in the batch do not change it.
        """
        a = torch.as_tensor(alpha, dtype=v.dtype, device=v.device)
        width = (v.abs() + 1.0) * a.reciprocal().clamp_min(1.0)
        low, high = v - width, v + width
        w = v.clone()
        done = torch.zeros_like(v, dtype=torch.bool)
        rounding = 2.0 * torch.finfo(v.dtype).eps
        for _ in range(60):
            z = self.forward(w)
            excess = (1.0 - a) * z + a * w - v
            size = (1.0 - a).abs() * z.abs() + a * w.abs() + v.abs()
            high = torch.where(excess > 0, w, high)
            low = torch.where(excess > 0, low, w)
            newton = w - excess / ((1.0 - a) * self.derivative(w) + a)
            inside = (newton >= low) & (newton <= high)
            step = torch.where(inside, newton, (low + high) / 2)
            w = torch.where(done, w, step)
            done = done | (excess.abs() <= rounding * size)
            if bool(done.all()):
                break
        return self.forward(w)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ActivationKind)
            and self.name == other.name
            and self.parameters == other.parameters
        )

    def __hash__(self) -> int:
        return hash((self.name, *sorted(self.parameters.items())))

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value:g}" for key, value in self.parameters.items())
        return f"{self.name}({inside})" if inside else self.name
