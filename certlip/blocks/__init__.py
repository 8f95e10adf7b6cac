"""The frozen vocabulary: few kinds of blocks, plain float64 tensors, no training code."""

from certlip.blocks.activation import Activation as Activation
from certlip.blocks.activations import Sigma as Sigma
from certlip.blocks.affine import Affine as Affine
from certlip.blocks.base import Block as Block
from certlip.blocks.conv_equilibrium import ConvEquilibrium as ConvEquilibrium
from certlip.blocks.conv_residual import ConvResidual as ConvResidual
from certlip.blocks.convolution import Convolution as Convolution
from certlip.blocks.dense_form import dense_form as dense_form
from certlip.blocks.equilibrium import Equilibrium as Equilibrium
from certlip.blocks.equilibrium import Origin as Origin
from certlip.blocks.equilibrium_on import equilibrium_block as equilibrium_block
from certlip.blocks.files import load as load
from certlip.blocks.files import save as save
from certlip.blocks.group_sort import GroupSort as GroupSort
from certlip.blocks.network import Network as Network
from certlip.blocks.normalize import Normalize as Normalize
from certlip.blocks.padded_equilibrium import PaddedEquilibrium as PaddedEquilibrium
from certlip.blocks.pooling import Pooling as Pooling
from certlip.blocks.residual import Residual as Residual
from certlip.blocks.resize import Resize as Resize
from certlip.blocks.window import Window as Window
