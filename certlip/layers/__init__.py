"""Trainable explicit Lipschitz layers. Each `freeze()`s to blocks; none of this code is trusted."""

from certlip.layers.aol import AOLDense as AOLDense
from certlip.layers.base import LipschitzLayer as LipschitzLayer
from certlip.layers.cpl import CPLDense as CPLDense
from certlip.layers.head import NormalizedHead as NormalizedHead
from certlip.layers.orthogonal import OrthogonalDense as OrthogonalDense
from certlip.layers.sandwich import SandwichDense as SandwichDense
from certlip.layers.sll import SLLDense as SLLDense
