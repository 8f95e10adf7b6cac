"""Midpoint–radius arithmetic: an array together with an entrywise bound of its error.

A `Ball` (m, r) stands for every real array X with |X − m| ≤ r entrywise; an operation on balls
gives a ball that holds the exact result for every choice of the operands. Formulas over balls read
like the mathematics and cannot forget a rounding. Axes before the last two count a batch of matrices.
"""

from __future__ import annotations

import numpy as np

from certlip.linalg.rigorous.rounding import TINY, U, gamma, norm_up, sum_up, up


class Ball:
    """An array `mid` with entrywise error bound `rad` (same shape, ≥ 0, or None when exact).

    Where `mid` has overflowed, the ball holds every number: its radius is infinite there.

    Raises:
        ValueError: a radius of another shape or below zero, or numbers that are no doubles.
    """

    __array_ufunc__ = None  # numpy must not take over `array @ ball`
    __slots__ = ("mid", "rad")

    def __init__(self, mid: np.ndarray, rad: np.ndarray | None = None) -> None:
        self.mid = _doubles(mid)
        self.rad = None if rad is None else np.asarray(rad, dtype=np.float64)
        if self.rad is not None and self.rad.shape != self.mid.shape:
            raise ValueError(f"radius of shape {self.rad.shape} for a ball of {self.mid.shape}")
        if self.rad is not None and (self.rad < 0.0).any():
            raise ValueError(f"radius {self.rad.min()}: expected ≥ 0")

    @property
    def T(self) -> Ball:
        """The transpose of a matrix, or of every matrix of a batch."""
        return Ball(
            self.mid.swapaxes(-1, -2), None if self.rad is None else self.rad.swapaxes(-1, -2)
        )

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

    @np.errstate(over="ignore", invalid="ignore")
    def __add__(self, other) -> Ball:
        other = as_ball(other)
        mid = self.mid + other.mid
        # fl(a+b) errs by ≤ u|fl(a+b)|, and not at all where that underflows
        return _ball(mid, _plus(self.rad, other.rad, up(U * np.abs(mid))))

    def __sub__(self, other) -> Ball:
        return self + (-as_ball(other))

    def __rsub__(self, other) -> Ball:
        return (-self) + other

    __radd__ = __add__

    @np.errstate(over="ignore", invalid="ignore")
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
        return _ball(mid, rad)

    __rmul__ = __mul__

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def __truediv__(self, divisor: float | np.ndarray) -> Ball:
        """Entrywise division by exact nonzero doubles."""
        if isinstance(divisor, Ball):
            return NotImplemented
        divisor = _doubles(divisor)
        mid = self.mid / divisor
        rad = up(U * np.abs(mid)) + TINY
        if self.rad is not None:
            rad = _plus(rad, up(self.rad / np.abs(divisor)) + TINY)
        return _ball(mid, rad)

    @np.errstate(over="ignore", invalid="ignore")
    def __matmul__(self, other) -> Ball:
        """Matrix product; |fl(AB) − AB| ≤ γ_k|A||B| + kη, k the inner length, any order."""
        other = as_ball(other)
        k = self.mid.shape[-1]
        mid = self.mid @ other.mid
        # γ_k|A||B| + r_A|B| + (|A| + r_A) r_B in one or two products of nonnegative matrices
        # (γ_k|A| may underflow to zero where A is denormal, and |B| be large: zero only where A is)
        size = np.abs(self.mid)
        left = np.where(size == 0.0, 0.0, np.nextafter(size * gamma(k), np.inf))
        if self.rad is not None:
            left = up(left + self.rad)
        rad = left @ np.abs(other.mid)
        if other.rad is not None:
            rad = up(rad + magnitude(self) @ other.rad)
        # the radius itself was a dot product of length k (+1 sum): inflate it by its own error
        return _ball(mid, up(rad * (1.0 + 2.0 * gamma(k + 2))) + TINY)

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
    return value if isinstance(value, Ball) else Ball(value)


def magnitude(ball: Ball) -> np.ndarray:
    """Upper bound of the entrywise absolute value."""
    size = np.abs(ball.mid)
    return size if ball.rad is None else up(size + ball.rad)


def joined(*balls: Ball, axis: int) -> Ball:
    """The balls one after the other along an axis."""
    mids, radii = [ball.mid for ball in balls], [ball.radius() for ball in balls]
    return Ball(np.concatenate(mids, axis=axis), np.concatenate(radii, axis=axis))


def diagonal(values: Ball) -> Ball:
    """The diagonal matrix of a ball with one axis."""
    return Ball(np.diag(values.mid), None if values.rad is None else np.diag(values.rad))


def composed(A: Ball, B: Ball) -> Ball:
    """AB, where a factor with one axis stands for its diagonal matrix."""
    if A.mid.ndim == 1:
        return (A if B.mid.ndim == 1 else A[:, None]) * B
    return A * B if B.mid.ndim == 1 else A @ B


def mirrored(ball: Ball) -> Ball:
    """A ball around matrices known to be symmetric, made so from their lower triangles."""

    def mirror(a: np.ndarray) -> np.ndarray:
        lower = np.tril(a)
        return lower + np.tril(a, -1).swapaxes(-1, -2)

    return Ball(mirror(ball.mid), None if ball.rad is None else mirror(ball.rad))


def norm2_of_radius(rad: np.ndarray | None) -> float | np.ndarray:
    """r ≥ ‖R‖₂ for each symmetric nonnegative R: its largest row sum, rounded up."""
    return 0.0 if rad is None else np.max(sum_up(rad), axis=-1)


def _ball(mid: np.ndarray, rad: np.ndarray) -> Ball:
    """A computed ball. Where `mid` overflowed it says nothing, though `rad` may be finite."""
    return Ball(mid, np.where(np.isfinite(mid), rad, np.inf))


def _doubles(value) -> np.ndarray:
    """The numbers as float64, if that is exact."""
    array = np.asarray(value)
    if array.dtype == np.float64:
        return array
    whole = array.dtype.kind in "biu" and (array.size == 0 or _largest(array) <= 2**53)
    if not (whole or array.dtype in (np.float32, np.float16)):
        raise ValueError(f"{array.dtype} values: expected numbers that are exact as float64")
    return array.astype(np.float64)


def _largest(array: np.ndarray) -> int:
    return max(abs(int(array.min())), abs(int(array.max())))


def _plus(*parts: np.ndarray | None) -> np.ndarray:
    present = [part for part in parts if part is not None]
    total = present[0]
    for part in present[1:]:
        total = up(total + part)
    return total


def _times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Product of nonnegative arrays, rounded up; zero only where a factor is zero."""
    return np.where((a == 0.0) | (b == 0.0), 0.0, up(a * b) + TINY)
