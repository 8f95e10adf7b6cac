"""Float32 errors of elementwise functions, relative to their input: |fl(σ(v)) − σ(v)| ≤ ρ|v|.

All of them have σ(0) = 0 and slopes in [0, 1], so |σ(v)| ≤ |v|.
"""

from __future__ import annotations

from certlip.blocks import Sigma
from certlip.certification.float32.arithmetic import gamma32
from certlip.errors import UnsupportedError

#: A mathematics library's tanh and expm1 are assumed within 16 units in the last place, as in float64.
ASSUMED = 2.0**-19

RELATIVE = {
    "identity": 0.0,
    "relu": 0.0,
    "leaky_relu": gamma32(2),  # the slope is rounded, and the product
    "tanh": ASSUMED,
    "elu": ASSUMED + gamma32(4),  # expm1, then α rounded and the product, both of what expm1 gave
}


def relative_error(sigma: Sigma) -> float:
    """The largest ρ over all coordinates; 0 where only signs are looked at.

    Raises:
        UnsupportedError: an activation that is not in the table.
    """
    for kind, _ in sigma.segments:
        if kind.name not in RELATIVE:
            raise UnsupportedError(f"no bound of the float32 evaluation of {kind!r}")
    return max(RELATIVE[kind.name] for kind, _ in sigma.segments)
