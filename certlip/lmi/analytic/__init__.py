"""Analytic multipliers by family. To add a family: its file, a line here, a test row.

What comes out is a guess that the verified Cholesky then proves or rejects on the stored numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.errors import InconclusiveError, InputError
from certlip.lmi.analytic.base import Multipliers as Multipliers
from certlip.lmi.analytic.g_mondeq import g_mondeq
from certlip.lmi.analytic.lben import lben
from certlip.lmi.analytic.mondeq import mondeq

FAMILIES: dict[str, Callable[[Equilibrium | ConvEquilibrium], Multipliers]] = {
    "lben": lben,
    "mondeq": mondeq,
    "g-mondeq": g_mondeq,
}


def multipliers(block: Equilibrium | ConvEquilibrium) -> Multipliers:
    """The family's Γ, Λ and L for this block, multipliers per neuron or channel.

    Raises:
        InconclusiveError: the block does not say where it comes from.
        InputError: the origin is unknown or incomplete, or the multipliers are not positive.
    """
    if block.origin is None:
        raise InconclusiveError(
            "an equilibrium block of unknown origin has no analytic multipliers"
        )
    family = block.origin.family
    if family not in FAMILIES:
        raise InputError(f"origin {family!r}: expected one of {', '.join(FAMILIES)}")
    try:
        guess = FAMILIES[family](block)
    except KeyError as error:
        raise InputError(f"origin {family!r} does not store {error}") from None
    except InputError:
        raise
    except (ArithmeticError, ValueError) as error:  # a norm that is no finite double
        raise InconclusiveError(f"origin {family!r}: {error}") from None
    for name, values in (("lam", guess.lam), ("gam", guess.gam)):
        if values.shape != (block.n,) or not (np.isfinite(values).all() and (values > 0).all()):
            raise InputError(
                f"origin {family!r} gives {name} that is not {block.n} positive numbers"
            )
    if not 0.0 < guess.lip < np.inf:
        raise InputError(f"origin {family!r} gives L = {guess.lip}: expected positive and finite")
    return guess
