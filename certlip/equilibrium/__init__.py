"""Trainable implicit layers. Each `freeze()`s to an equilibrium block."""

from certlip.equilibrium.lben import LBEN as LBEN
