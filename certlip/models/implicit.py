"""Classifiers that are one equilibrium layer: MonDEQ, G-MonDEQ, and LBEN from scratch."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks import Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.equilibrium import LBEN, MonDEQ
from certlip.layers.base import NUDGE, positive_sizes
from certlip.models.base import Model


class ImplicitClassifier(Model):
    """One equilibrium layer with Lipschitz bound 1; an equilibrium that is not reached raises."""

    dtype = torch.float64

    def __init__(self, layer: MonDEQ | LBEN) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        assert self.layer.last_solution is not None
        self.layer.last_solution.require_converged()
        return y

    def freeze(self) -> Network:
        return Network([self.layer.freeze()])


class MonDEQClassifier(ImplicitClassifier):
    """A monotone DEQ with `hidden` states, m = 1, and ‖U‖‖G‖ ≤ 1 enforced.

    Raises:
        InputError: a size below 1.
    """

    generalized = False

    def __init__(self, d: int, classes: int, *, hidden: int) -> None:
        layer = MonDEQ(d, hidden, classes, m=1.0, lip=1.0, generalized=self.generalized)
        super().__init__(layer)


class GMonDEQClassifier(MonDEQClassifier):
    """A generalized monotone DEQ: Φ is trained, and ‖Φ⁻¹U‖‖G‖ ≤ 1 enforced."""

    generalized = True


class LBENClassifier(ImplicitClassifier):
    """An LBEN with `hidden` states and L = 1 from random parameters.

    Raises:
        InputError: a size below 1.
    """

    def __init__(self, d: int, classes: int, *, hidden: int) -> None:
        positive_sizes("LBEN", d=d, classes=classes, hidden=hidden)

        def gaussian(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64) / shape[-1] ** 0.5

        zeros = torch.zeros(hidden, dtype=torch.float64)
        super().__init__(
            LBEN(
                log_psi=zeros,
                U=gaussian(hidden, d),
                G=gaussian(classes, hidden),
                V=gaussian(hidden, hidden),
                S=gaussian(hidden, hidden),
                b_z=zeros,
                b_y=torch.zeros(classes, dtype=torch.float64),
                sigma=Sigma.of(ReLU(), hidden),
                lip=1.0,
                eps=NUDGE,
            )
        )
