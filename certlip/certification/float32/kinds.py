"""Which bound belongs to which kind of block, and why some kinds have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Equilibrium,
    GroupSort,
    Network,
    Normalize,
    PaddedEquilibrium,
    Pooling,
    Residual,
    Resize,
    Window,
)
from certlip.certification.float32.base import LocalError
from certlip.certification.float32.explicit import (
    ActivationError,
    MovesError,
    NormalizeError,
    PoolingError,
    ProductError,
)
from certlip.certification.float32.residual import ResidualError
from certlip.certification.float32.steps import StepsError
from certlip.certification.float32.substitution import SubstitutionError
from certlip.certification.semantics import Steps
from certlip.errors import UnsupportedError
from certlip.linalg.operators import DIRECT_TAPS
from certlip.linalg.triangular import strict_lower_blocks
from certlip.lmi import BlockProof, EquilibriumProof

KINDS: dict[type[Block], Callable[..., LocalError]] = {
    Normalize: NormalizeError,
    Affine: ProductError,
    Activation: ActivationError,
    Residual: ResidualError,
    Equilibrium: SubstitutionError,
    Convolution: ProductError,
    ConvResidual: ResidualError,
    Pooling: PoolingError,
    Resize: MovesError,
    Window: MovesError,
    GroupSort: MovesError,
}


def require_bounded(network: Network, steps: Steps | None = None) -> None:
    """Raises an `UnsupportedError` unless the float32 evaluation of every block has an a-priori bound."""
    for k, block in enumerate(network.blocks):
        reason = _missing(block, steps)
        if reason is not None:
            raise UnsupportedError(f"float32 semantics: block {k} ({block.kind}): {reason}")


def local_error(block: Block, proof: BlockProof, steps: Steps | None) -> LocalError:
    """The bound of one block; with `steps` its equilibria are run, not solved."""
    if isinstance(block, Equilibrium) and steps is not None:
        return StepsError(block, cast("EquilibriumProof", proof), steps)
    return KINDS[type(block)](block, proof)


def _missing(block: Block, steps: Steps | None) -> str | None:
    if isinstance(block, Equilibrium) and (
        steps is not None or strict_lower_blocks(block.W.numpy()) is not None
    ):
        return None
    if isinstance(block, Equilibrium | ConvEquilibrium | PaddedEquilibrium):
        return (
            "its equilibrium is solved to a tolerance, and where a solver stops inside the ball is "
            "unknown; only a dense W has a bound, if it is triangular and solved by substitution, or "
            "run for a fixed number of steps: float32:K"
        )
    if type(block) not in KINDS:
        return "no bound of its float32 evaluation is known"
    if isinstance(block, Convolution) and _by_frequency(block):
        return f"a circular kernel of more than {DIRECT_TAPS} taps is evaluated by frequencies"
    return None


def _by_frequency(block: Convolution) -> bool:
    taps = block.K.shape[2] * block.K.shape[3]
    return block.padding == "circular" and taps > DIRECT_TAPS
