"""Everything random about one network: sizes, scales, activations, drawn from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import Block, Network, Normalize
from certlip.blocks.activations import ELU, ActivationKind, Identity, LeakyReLU, ReLU, Tanh
from certlip.equilibrium import ImplicitLayer
from certlip.layers import LipschitzLayer

T = TypeVar("T")
LINEAR_PIECES = (ReLU(), ReLU(), LeakyReLU(0.2), LeakyReLU(0.7), Identity())
SMOOTH = (Tanh(), ELU(), ELU(0.3))


class Chance:
    """Draws, and the scale of the inputs that the network is meant for."""

    def __init__(self, *seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(int(self.rng.integers(2**63)))  # what layers start from
        self.scale = self.log(-3.0, 3.0) if self.rng.random() < 0.3 else 1.0
        #: Whether parameters are of very different size.
        self.wild = self.rng.random() < 0.1
        #: Samples (n, d) that the network was trained for, if it was.
        self.inputs: np.ndarray | None = None

    def size(self, low: int, high: int) -> int:
        """A whole number from low to high."""
        return int(self.rng.integers(low, high + 1))

    def log(self, low: float, high: float) -> float:
        """10 to a power from low to high."""
        return float(10.0 ** self.rng.uniform(low, high))

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.size(0, len(choices) - 1)]

    def activation(self, smooth: float = 0.4) -> ActivationKind:
        """Of linear pieces or, that often, smooth: smooth equilibria take ten times as long to solve."""
        return self.one_of(SMOOTH if self.rng.random() < smooth else LINEAR_PIECES)

    def normal(self, *shape: int) -> Tensor:
        return torch.from_numpy(self.rng.standard_normal(shape))

    def frozen(self, *layers: LipschitzLayer | ImplicitLayer) -> Network:
        """The layers with every parameter moved, biases as large as the inputs, and sometimes a
        normalisation in front."""
        blocks: list[Block] = []
        for layer in layers:
            layer.double()
            with torch.no_grad():
                for name, parameter in layer.named_parameters():
                    spread = self.log(-2.0, 0.3)
                    parameter += spread * self.normal(*parameter.shape)
                    if name.rpartition(".")[2] in ("bias", "b_z", "b_y"):
                        parameter += self.scale * self.normal(*parameter.shape)
                    elif self.wild and "log" not in name:
                        parameter *= self.log(-4.0, 4.0)
            own = layer.freeze()
            blocks += own if isinstance(own, list) else [own]
        return self.normalized(blocks)

    def normalized(self, blocks: Sequence[Block]) -> Network:
        """Behind (x − mean)/std in one of three cases."""
        if self.rng.random() > 1.0 / 3.0:
            return Network(blocks)
        d = blocks[0].in_width
        std = self.log(-1.0, 1.0) * (0.5 + torch.from_numpy(self.rng.random(d)))
        return Network([Normalize(self.scale * self.normal(d), std), *blocks])
