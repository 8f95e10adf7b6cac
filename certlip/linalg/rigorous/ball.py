"""Midpoint–radius arithmetic: an array together with an entrywise bound of its error.

A `Ball` (m, r) stands for every real array X with |X − m| ≤ r entrywise; an operation on balls gives a
ball that holds the exact result for every choice of the operands. Formulas over balls read like the
mathematics and cannot forget a rounding.
"""

from __future__ import annotations

import numpy as np

from certlip.linalg.rigorous.rounding import TINY, U, gamma, norm_up, sum_up, up


class Ball:
    """An array `mid` with entrywise error bound `rad` (same shape, ≥ 0, or None when exact)."""

    __array_ufunc__ = None  # numpy must not take over `array @ ball`
    __slots__ = ("mid", "rad")

    def __init__(self, mid: np.ndarray, rad: np.ndarray | None = None) -> None:
        self.mid = np.asarray(mid, dtype=np.float64)
        self.rad = rad

    @property
    def T(self) -> Ball:
        return Ball(self.mid.T, None if self.rad is None else self.rad.T)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mid.shape

    def radius(self) -> np.ndarray:
        """The radius as an array."""
        return np.zeros_like(self.mid) if self.rad is None else self.rad

    def __getitem__(self, index) -> Ball:
        return Ball(self.mid[index], None if self.rad is None else self.rad[index])

    def __neg__(self) -> Ball:
        return Ball(-self.mid, self.rad)

    def __add__(self, other) -> Ball:
        other = as_ball(other)
        mid = self.mid + other.mid
        # fl(a+b) errs by ≤ u|fl(a+b)|, and not at all where that underflows
        return Ball(mid, _plus(self.rad, other.rad, up(U * np.abs(mid))))

    def __sub__(self, other) -> Ball:
        return self + (-as_ball(other))

    def __rsub__(self, other) -> Ball:
        return (-self) + other

    __radd__ = __add__

    def __mul__(self, other) -> Ball:
        """Entrywise product with broadcasting."""
        other = as_ball(other)
        mid = self.mid * other.mid
        exact_zero = (self.mid == 0.0) | (other.mid == 0.0)
        rounding = np.where(exact_zero, 0.0, up(U * np.abs(mid)) + TINY)
        rad = rounding
        if self.rad is not None:  # r_a |b|
            rad = _plus(rad, _times(self.rad, np.abs(other.mid)))
        if other.rad is not None:  # (|a| + r_a) r_b
            rad = _plus(rad, _times(magnitude(self), other.rad))
        return Ball(mid, rad)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | np.ndarray) -> Ball:
        """Entrywise division by exact nonzero doubles."""
        mid = self.mid / divisor
        rad = up(U * np.abs(mid)) + TINY
        if self.rad is not None:
            rad = _plus(rad, up(self.rad / np.abs(divisor)) + TINY)
        return Ball(mid, rad)

    def __matmul__(self, other) -> Ball:
        """Matrix product; |fl(AB) − AB| ≤ γ_k |A||B| + k·η for dot products of length k in any order."""
        other = as_ball(other)
        k = self.mid.shape[-1]
        mid = self.mid @ other.mid
        # γ_k|A||B| + r_A|B| + (|A| + r_A) r_B in one or two products of nonnegative matrices
        left = np.abs(self.mid) * gamma(k)
        left = up(left) if self.rad is None else up(up(left) + self.rad)
        rad = left @ np.abs(other.mid)
        if other.rad is not None:
            rad = up(rad + magnitude(self) @ other.rad)
        # the radius itself was a dot product of length k (+1 sum): inflate it by its own error
        return Ball(mid, up(rad * (1.0 + 2.0 * gamma(k + 2))) + TINY)

    def __rmatmul__(self, other) -> Ball:
        return as_ball(other) @ self

    def reshape(self, *shape: int) -> Ball:
        return Ball(
            self.mid.reshape(*shape), None if self.rad is None else self.rad.reshape(*shape)
        )

    def norm_upper(self, axis: int = -1) -> np.ndarray:
        """Upper bound of the Euclidean norm along one axis."""
        return norm_up(magnitude(self), axis=axis)


def as_ball(value) -> Ball:
    """A ball of radius zero around an exact array or number."""
    return value if isinstance(value, Ball) else Ball(np.asarray(value, dtype=np.float64))


def magnitude(ball: Ball) -> np.ndarray:
    """Upper bound of the entrywise absolute value."""
    size = np.abs(ball.mid)
    return size if ball.rad is None else up(size + ball.rad)


def mirrored(ball: Ball) -> Ball:
    """A ball around a matrix known to be symmetric, made exactly symmetric from its lower triangle."""

    def mirror(a: np.ndarray) -> np.ndarray:
        lower = np.tril(a)
        return lower + np.tril(a, -1).T

    return Ball(mirror(ball.mid), None if ball.rad is None else mirror(ball.rad))


def norm2_of_radius(rad: np.ndarray | None) -> float:
    """r ≥ ‖R‖₂ for a symmetric nonnegative R: its largest row sum, rounded up."""
    return 0.0 if rad is None else float(np.max(sum_up(rad)))


def _plus(*parts: np.ndarray | None) -> np.ndarray:
    present = [part for part in parts if part is not None]
    total = present[0]
    for part in present[1:]:
        total = up(total + part)
    return total


def _times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Product of nonnegative arrays, rounded up; zero only where a factor is zero."""
    return np.where((a == 0.0) | (b == 0.0), 0.0, up(a * b) + TINY)
