"""The registry of block kinds. To add one: its file, a line here, a rule in `lmi` and `certify`."""

from __future__ import annotations

from certlip.blocks.activation import Activation
from certlip.blocks.affine import Affine
from certlip.blocks.base import Block
from certlip.blocks.equilibrium import Equilibrium
from certlip.blocks.normalize import Normalize
from certlip.blocks.residual import Residual

KINDS: dict[str, type[Block]] = {
    block.kind: block for block in (Normalize, Affine, Activation, Residual, Equilibrium)
}
