"""One rule per kind of block: how its Lipschitz bound is proven. Three files to add a kind: the
block, its rule here, its enclosure in `certify`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Equilibrium,
    GroupSort,
    Normalize,
    PaddedEquilibrium,
    Pooling,
    Residual,
    Resize,
    Window,
)
from certlip.errors import CertlipError, InconclusiveError, UnsupportedError
from certlip.lmi.proof import BlockProof
from certlip.lmi.rules.equilibrium import prove_equilibrium
from certlip.lmi.rules.explicit import (
    prove_activation,
    prove_affine,
    prove_convolution,
    prove_group_sort,
    prove_normalize,
    prove_pooling,
    prove_resize,
    prove_window,
)
from certlip.lmi.rules.padded_equilibrium import prove_padded_equilibrium
from certlip.lmi.rules.residual import prove_residual

RULES: dict[type[Block], Callable[..., BlockProof]] = {
    Normalize: prove_normalize,
    Affine: prove_affine,
    Activation: prove_activation,
    Residual: prove_residual,
    Equilibrium: prove_equilibrium,
    Convolution: prove_convolution,
    ConvResidual: prove_residual,
    ConvEquilibrium: prove_equilibrium,
    PaddedEquilibrium: prove_padded_equilibrium,
    Pooling: prove_pooling,
    Resize: prove_resize,
    Window: prove_window,
    GroupSort: prove_group_sort,
}


def apply_rule(block: Block, **options: Any) -> BlockProof:
    """The proof of one block by the rule of its kind.

    Raises:
        UnsupportedError: no rule for this kind.
        InconclusiveError: also where a bound is no finite double.
        RejectedError, InputError: as the rule says.
    """
    if type(block) not in RULES:
        raise UnsupportedError(f"{block.kind} has no rule")
    try:
        return RULES[type(block)](block, **options)
    except CertlipError:
        raise
    except (ArithmeticError, ValueError) as error:
        raise InconclusiveError(str(error)) from None
