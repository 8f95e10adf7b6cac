"""Interval bounds: boxes through explicit blocks and equilibria, for radii in the ℓ∞ norm.

A box is a centre and a radius per entry; an affine map takes two products, one with W and one with |W|,
and every rounding goes outward. The box of an equilibrium is guessed and then verified. One function per
kind of block; the registry is `INTERVALS`.
"""

from certlip.certification.interval.network import IntervalBounds as IntervalBounds
from certlip.certification.interval.radii import Linf as Linf
from certlip.certification.interval.radii import LinfRadii as LinfRadii
