"""Boxes during training: centres, radii and the inputs themselves on their way through the same layers.

Nothing here is rounded outward: what is trained is bounded by `certify` once it is frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Boxes:
    """Values x (batch, …) at the inputs, and boxes with centres c and radii r around all that they may be.

    r may have one row for the whole batch. `widths` are the mean radii of every layer so far, the first of
    them of the input; `inner`, where it is kept, the c and r that went into every activation.
    """

    x: Tensor
    c: Tensor
    r: Tensor
    widths: tuple[Tensor, ...] = ()
    inner: tuple[tuple[Tensor, Tensor], ...] | None = None

    @classmethod
    def around(cls, x: Tensor, eps: float, *, inner: bool = False) -> Boxes:
        """The ℓ∞ balls of radius eps around inputs x (batch, …); `inner`: whether it is to be kept."""
        r = torch.full_like(x[:1], eps)
        return cls(x, x, r, (r.mean(),), () if inner else None)

    def affine(self, f: Callable[[Tensor], Tensor], size: Callable[[Tensor], Tensor]) -> Boxes:
        """f on points; `size`, f with absolute values of its weights and without its bias, on radii."""
        if self.x is self.c:  # no layer has told them apart yet
            x = f(self.x)
            return replace(self, x=x, c=x, r=size(self.r))
        x, c = f(torch.cat([self.x, self.c])).chunk(2)
        return replace(self, x=x, c=c, r=size(self.r))

    def scaled(self, scale: Tensor, shift: Tensor) -> Boxes:
        """scale·v + shift, entry by entry."""
        x = self.x * scale + shift
        c = x if self.c is self.x else self.c * scale + shift
        return replace(self, x=x, c=c, r=self.r * scale.abs())

    def activated(self, sigma: Callable[[Tensor], Tensor]) -> Boxes:
        """A nondecreasing σ."""
        inner = None if self.inner is None else (*self.inner, (self.c, self.r))
        return replace(self, x=sigma(self.x), inner=inner).between(
            sigma(self.c - self.r), sigma(self.c + self.r)
        )

    def between(self, low: Tensor, high: Tensor) -> Boxes:
        """The boxes with these ends."""
        return replace(self, c=(high + low) / 2, r=(high - low) / 2)

    def reshaped(self, f: Callable[[Tensor], Tensor]) -> Boxes:
        """Another arrangement of the same numbers."""
        x = f(self.x)
        return replace(self, x=x, c=x if self.c is self.x else f(self.c), r=f(self.r))

    def measured(self) -> Boxes:
        """With the mean radius of this layer."""
        return replace(self, widths=(*self.widths, self.r.mean()))
