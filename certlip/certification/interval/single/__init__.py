"""Boxes in single precision: outward rounding again, with larger units, for radii that need no more."""

from certlip.certification.interval.single.network import SingleBounds as SingleBounds
