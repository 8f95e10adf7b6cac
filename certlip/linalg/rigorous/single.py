"""Outward rounding in single precision: u = 2⁻²⁴, and the same arguments as for doubles.

NumPy keeps float32 arrays in float32 where they meet Python numbers; a NumPy float64 would turn them into
doubles.
"""

from __future__ import annotations

import numpy as np

from certlip.linalg.rigorous.rounding import up

U = 2.0**-24  # unit roundoff of IEEE single, round to nearest
# Stands for every underflow term, as in double precision: the true ones are small multiples of 2⁻¹⁴⁹.
TINY = 2.0**-100


@np.errstate(over="ignore")
def rounded_up(x: np.ndarray) -> np.ndarray:
    """Above x ≥ 0 (float64), as float32: at least x, ∞ beyond its range, zero only for zero."""
    near = x.astype(np.float32)
    return np.where(near < x, np.nextafter(near, np.float32(np.inf)), near)


def single_gamma(k: int) -> float:
    """An upper bound of γ_k = ku/(1 − ku) in single precision; ∞ where ku ≥ 1/2, and next to nothing is
    known of a sum."""
    return float(np.nextafter(k * U / (1.0 - k * U), np.inf)) if k < 2**23 else np.inf


@np.errstate(over="ignore")
def nearest(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (float64) as float32, and a bound (float64) of what it is off by; ∞ where it overflows."""
    near = x.astype(np.float32)
    return near, up(np.abs(x - near))
