"""The registry of block kinds. To add one: its file, a line here, a rule in `lmi` and `certify`."""

from __future__ import annotations

from certlip.blocks.activation import Activation
from certlip.blocks.affine import Affine
from certlip.blocks.base import Block
from certlip.blocks.conv_equilibrium import ConvEquilibrium
from certlip.blocks.conv_residual import ConvResidual
from certlip.blocks.convolution import Convolution
from certlip.blocks.equilibrium import Equilibrium
from certlip.blocks.group_sort import GroupSort
from certlip.blocks.normalize import Normalize
from certlip.blocks.padded_equilibrium import PaddedEquilibrium
from certlip.blocks.pooling import Pooling
from certlip.blocks.residual import Residual
from certlip.blocks.resize import Resize
from certlip.blocks.window import Window

_DENSE = (Normalize, Affine, Activation, Residual, Equilibrium)
_IMAGE = (Convolution, ConvResidual, ConvEquilibrium, PaddedEquilibrium, Pooling, Window)
_PLUMBING = (Resize, GroupSort)

KINDS: dict[str, type[Block]] = {block.kind: block for block in (*_DENSE, *_IMAGE, *_PLUMBING)}
