"""How each kind of block is enclosed; a new kind needs a line here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.conv_equilibrium import ConvEquilibriumEncloser
from certlip.certification.enclosure.equilibrium import EquilibriumEncloser
from certlip.certification.enclosure.explicit import activation, affine, normalize, residual
from certlip.certification.enclosure.image import (
    conv_residual,
    convolution,
    group_sort,
    pooling,
    resize,
    window,
)
from certlip.certification.enclosure.padded_equilibrium import PaddedEquilibriumEncloser
from certlip.lmi import BlockProof

LOCAL: dict[type[Block], Callable[..., Local]] = {
    Normalize: normalize,
    Pooling: pooling,
    Resize: resize,
    Window: window,
    GroupSort: group_sort,
}

#: Enclosures that are built once from a block and its proof; those of equilibria also take a guess.
PREPARED: dict[type[Block], Callable[..., Callable[..., Local]]] = {
    Affine: affine,
    Activation: activation,
    Residual: residual,
    Convolution: convolution,
    ConvResidual: conv_residual,
    Equilibrium: EquilibriumEncloser,
    ConvEquilibrium: ConvEquilibriumEncloser,
    PaddedEquilibrium: PaddedEquilibriumEncloser,
}


def local_of(block: Block, proof: BlockProof) -> Callable[..., Local]:
    """The enclosure of one block with its proof."""
    if type(block) in PREPARED:
        return PREPARED[type(block)](block, proof)
    return partial(LOCAL[type(block)], block)
