"""Trainable explicit Lipschitz layers. Each `freeze()`s to blocks; none of this code is trusted."""

from certlip.layers.base import LipschitzLayer as LipschitzLayer
from certlip.layers.sll import SLLDense as SLLDense
