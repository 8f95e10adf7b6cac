"""Trainable explicit Lipschitz layers. Each `freeze()`s to blocks; none of this code is trusted."""

from certlip.layers.aol import AOLConv as AOLConv
from certlip.layers.aol import AOLDense as AOLDense
from certlip.layers.base import LipschitzLayer as LipschitzLayer
from certlip.layers.cpl import CPLConv as CPLConv
from certlip.layers.cpl import CPLDense as CPLDense
from certlip.layers.head import NormalizedHead as NormalizedHead
from certlip.layers.orthogonal import OrthogonalConv as OrthogonalConv
from certlip.layers.orthogonal import OrthogonalDense as OrthogonalDense
from certlip.layers.plumbing import Center as Center
from certlip.layers.plumbing import ChannelPad as ChannelPad
from certlip.layers.plumbing import GroupSort as GroupSort
from certlip.layers.plumbing import Pool as Pool
from certlip.layers.plumbing import ToImages as ToImages
from certlip.layers.plumbing import ToVectors as ToVectors
from certlip.layers.plumbing import Truncate as Truncate
from certlip.layers.sandwich import SandwichConv as SandwichConv
from certlip.layers.sandwich import SandwichDense as SandwichDense
from certlip.layers.sll import SLLConv as SLLConv
from certlip.layers.sll import SLLDense as SLLDense
