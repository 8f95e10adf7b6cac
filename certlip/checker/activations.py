"""σ on an enclosed argument. All kinds have slopes in [0, 1], so a radius passes unchanged."""

import numpy as np

from certlip.checker.document import CertificateError, only
from certlip.checker.rounding import UNIT, Array, over

# σ(v, parameter), the name of the parameter, and the evaluation's own error relative to σ̂(v):
# 0, one rounding, or 2⁻⁴⁸ (the contract assumes 2⁻⁴⁹ of the mathematics library, relative to σ(v)).
_KINDS = {
    "identity": (lambda v, _: v, None, 0.0),
    "relu": (lambda v, _: np.maximum(v, 0.0), None, 0.0),
    "leaky_relu": (lambda v, s: np.where(v >= 0.0, v, s * v), "slope", UNIT),
    "tanh": (lambda v, _: np.tanh(v), None, 2.0**-48),
    "elu": (lambda v, a: np.where(v >= 0.0, v, a * np.expm1(np.minimum(v, 0))), "alpha", 2.0**-48),
}


def read_sigma(meta: list[list], width: int) -> list[tuple[str, int, float]]:
    """Read a `sigma` entry, (name, count, parameter) of all segments of `width` coordinates."""
    sigma = []
    for entry in meta:
        if [type(part) for part in entry] != [str, int, dict] or entry[0] not in _KINDS:
            raise CertificateError(f"sigma {entry!r:.60}, expected [name, count, parameters]")
        key = _KINDS[entry[0]][1]
        value = only(entry[2], *[key] if key else []).get(key, 0)
        if entry[1] < 1 or type(value) not in (int, float) or not 0.0 <= value <= 1.0:
            raise CertificateError(f"sigma {entry!r:.60}, expected count > 0, parameter in [0, 1]")
        sigma.append((entry[0], entry[1], float(value)))
    if sum(count for _, count, _ in sigma) != width:
        raise CertificateError(f"sigma {meta!r:.80}, expected {width} coordinates")
    return sigma


def activate(sigma: list, v: Array, radius: Array) -> tuple[Array, Array]:
    """Return σ̂(v) and a bound of |σ̂(v) − σ(v')| for every |v' − v| ≤ radius."""
    value, error, start = np.empty_like(v), np.empty_like(v), 0
    for name, count, parameter in sigma:
        part = (..., slice(start, start + count))
        function, _, relative = _KINDS[name]
        value[part] = function(v[part], parameter)
        error[part] = over(radius[part] + relative * np.abs(value[part]), 1)
        start += count
    return value, error
