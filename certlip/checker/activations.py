"""σ on an enclosed argument. All kinds have slopes in [0, 1], so a radius passes unchanged."""

from typing import NamedTuple

import numpy as np

from certlip.checker.document import items, only
from certlip.checker.rounding import UNIT, Array, over
from certlip.checker.verdict import CertificateError

# σ(v, parameter), the name of the parameter, and the evaluation's own error relative to σ̂(v):
# 0, one rounding, or 2⁻⁴⁸ (the contract assumes 2⁻⁴⁹ of the mathematics library, relative to σ(v)).
_KINDS = {
    "identity": (lambda v, _: v, None, 0.0),
    "relu": (lambda v, _: np.maximum(v, 0.0), None, 0.0),
    "leaky_relu": (lambda v, s: np.where(v >= 0.0, v, s * v), "slope", UNIT),
    "tanh": (lambda v, _: np.tanh(v), None, 2.0**-48),
    "elu": (lambda v, a: np.where(v >= 0.0, v, a * np.expm1(np.minimum(v, 0))), "alpha", 2.0**-48),
}


class Segment(NamedTuple):
    """`count` neighbouring coordinates with the same activation."""

    name: str
    count: int
    parameter: float


def segments(meta: list, width: int) -> tuple[Segment, ...]:
    """Read a `sigma` entry that must cover `width` coordinates."""
    sigma = []
    for entry in items(meta, list):
        if len(entry) != 3 or [type(part) for part in entry] != [str, int, dict]:
            raise CertificateError(f"sigma entry {entry!r:.60}, expected [name, count, parameters]")
        name, count, parameters = entry
        if name not in _KINDS or count < 1:
            raise CertificateError(f"sigma {name!r:.60} x {count}, expected one of {list(_KINDS)}")
        key = _KINDS[name][1]
        value = only(parameters, *[key] if key else []).get(key, 0.0)
        if type(value) not in (int, float) or not 0.0 <= value <= 1.0:
            raise CertificateError(f"{key!r} of {name} is {value!r:.60}, expected within [0, 1]")
        sigma.append(Segment(name, count, float(value)))
    if sum(segment.count for segment in sigma) != width:
        raise CertificateError(f"sigma {meta!r:.80} covers other than {width} coordinates")
    return tuple(sigma)


def activate(sigma: tuple[Segment, ...], v: Array, radius: Array) -> tuple[Array, Array]:
    """Return σ̂(v) and a bound of |σ̂(v) − σ(v')| for every |v' − v| ≤ radius."""
    value, error, start = np.empty_like(v), np.empty_like(v), 0
    for name, count, parameter in sigma:
        part = (..., slice(start, start + count))
        function, _, relative = _KINDS[name]
        value[part] = function(v[part], parameter)
        error[part] = over(radius[part] + relative * np.abs(value[part]), 1)
        start += count
    return value, error
