"""Ordinary layers that boxes pass through, for training with interval bounds."""

from certlip.layers.boxed.base import BoxLayer as BoxLayer
from certlip.layers.boxed.units import ConvUnit as ConvUnit
from certlip.layers.boxed.units import DenseUnit as DenseUnit
