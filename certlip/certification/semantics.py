"""What a radius is about: the network in real arithmetic, or a float32 program as well."""

from __future__ import annotations

import re
from dataclasses import dataclass

from certlip.errors import InputError

#: The most steps of an equilibrium that are bounded one by one.
LONGEST = 100_000

_STEPS = re.compile(r"float32:([0-9]{1,6})(?::([0-9]*\.?[0-9]+))?", re.ASCII)


@dataclass(frozen=True)
class Steps:
    """Equilibria run as `count` steps z ← σ((1 − α)z + α(Wz + Ux + b_z)) from z = 0."""

    count: int
    alpha: float = 1.0


@dataclass(frozen=True)
class Semantics:
    """`name` is real or float32; without `steps` float32 programs solve equilibria by substitution."""

    name: str
    steps: Steps | None = None


def parse_semantics(text: str) -> Semantics:
    """`real`, `float32`, `float32:K` or `float32:K:ALPHA`.

    Raises:
        InputError: anything else, no step at all, or α outside of (0, 1].
    """
    if text in ("real", "float32"):
        return Semantics(text)
    match = _STEPS.fullmatch(text)
    if match is None:
        raise InputError(
            f"semantics {text!r}: expected real or float32, float32:K, float32:K:ALPHA"
        )
    count, alpha = int(match[1]), float(match[2] or 1.0)
    if not 1 <= count <= LONGEST or not 0.0 < alpha <= 1.0:
        raise InputError(
            f"semantics {text!r}: expected 1 to {LONGEST:,} steps, and ALPHA above 0 and at most 1"
        )
    return Semantics("float32", Steps(count, alpha))
