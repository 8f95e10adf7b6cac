"""Checks that this process computes as the proofs assume: IEEE doubles, to nearest, no flushing."""

from __future__ import annotations

import numpy as np

from certlip.errors import InconclusiveError


def require_ieee() -> None:
    """Raises unless additions round to nearest and subnormal numbers are kept.

    `torch.set_flush_denormal(True)` or a library built with fast-math switch the processor of this
    thread to something the rounding arguments do not cover.

    Raises:
        InconclusiveError: it does not; nothing that was computed would be a proof.
    """
    u = 2.0**-53
    a = np.array([1.0, 1.0, -1.0, 1.0 + 2 * u])
    b = np.array([u, u * (1.0 + 2 * u), -u, u])
    nearest = np.array([1.0, 1.0 + 2 * u, -1.0, 1.0 + 4 * u])  # ties go to even
    if not np.array_equal(a + b, nearest):
        raise InconclusiveError("floating point does not round to nearest: nothing can be proven")
    smallest_normal = np.full(8, np.finfo(np.float64).smallest_normal)
    if not ((smallest_normal / 4.0) * 4.0 == smallest_normal).all():
        raise InconclusiveError(
            "subnormal numbers are flushed to zero in this process: nothing can be proven; "
            "is torch.set_flush_denormal on?"
        )
