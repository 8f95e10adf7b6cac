"""Trainable implicit layers, dense or on a torus. Each `freeze()`s to an equilibrium block."""

from certlip.equilibrium.base import ImplicitLayer as ImplicitLayer
from certlip.equilibrium.cerdeq import CerDEQ as CerDEQ
from certlip.equilibrium.lben import LBEN as LBEN
from certlip.equilibrium.mondeq import MonDEQ as MonDEQ
