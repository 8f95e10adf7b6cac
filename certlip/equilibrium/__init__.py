"""Trainable implicit layers. Each `freeze()`s to an equilibrium block."""

from certlip.equilibrium.lben import LBEN as LBEN
from certlip.equilibrium.mondeq import MonDEQ as MonDEQ
