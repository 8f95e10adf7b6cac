"""Classifiers of images that are one convolutional equilibrium layer, pooling and an orthogonal head.

The single convolutional monotone DEQ of Winston & Kolter (NeurIPS 2020), made 1-Lipschitz: ‖Φ⁻¹U‖ ≤ m
(Havens et al., 2023, App. A), pooling with the window as its divisor, a head with orthonormal rows.
Convolutions are circular on the image itself; the source pads it by a border of zeros first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.equilibrium import LBEN, ImplicitLayer, MonDEQ
from certlip.layers import OrthogonalDense, Pool, ToImages, ToVectors
from certlip.layers.base import NUDGE, positive_sizes
from certlip.linalg.torus import Torus
from certlip.models.base import Model
from certlip.models.sizes import channels_of


class ImplicitImageClassifier(Model):
    """An equilibrium layer with Lipschitz bound 1; an equilibrium that is not reached raises.

    Args:
        layer: Gives images of `channels` channels.
        pool: Side of the pooling windows; 1 does not pool.
    """

    dtype = torch.float64

    def __init__(
        self, layer: ImplicitLayer, channels: int, pool: int, classes: int, image: tuple[int, int]
    ) -> None:
        super().__init__()
        positive_sizes("implicit image model", channels=channels, pool=pool, classes=classes)
        self.layer = layer
        self.after = nn.Sequential(ToImages(image), Pool(channels, pool, image), ToVectors())
        features = channels * (image[0] // pool) * (image[1] // pool)
        self.head = OrthogonalDense(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        assert self.layer.last_solution is not None
        self.layer.last_solution.require_converged()
        return self.head(self.after(y))

    def freeze(self) -> Network:
        pool = self.after[1]
        assert isinstance(pool, Pool)
        return Network([self.layer.freeze(), *pool.freeze(), *self.head.freeze()])


class MonDEQConvClassifier(ImplicitImageClassifier):
    """A monotone DEQ with `channels` hidden channels, m = 1, and ‖U‖ ≤ 1 enforced.

    Raises:
        InputError: a size that does not fit.
    """

    generalized = False

    def __init__(
        self,
        d: int,
        classes: int,
        *,
        height: int,
        width: int,
        channels: int,
        pool: int,
        kernel: int = 3,
    ) -> None:
        image = (height, width)
        layer = MonDEQ(
            channels_of(d, image),
            channels,
            m=1.0,
            lip=1.0,
            generalized=self.generalized,
            torus=Torus(height, width),
            kernel=kernel,
        )
        super().__init__(layer, channels, pool, classes, image)


class GMonDEQConvClassifier(MonDEQConvClassifier):
    """A generalized monotone DEQ: Φ is trained, and ‖Φ⁻¹U‖ ≤ 1 enforced."""

    generalized = True


class LBENConvClassifier(ImplicitImageClassifier):
    """An LBEN with `channels` hidden channels and L = 1 from random parameters.

    Raises:
        InputError: a size that does not fit.
    """

    def __init__(
        self,
        d: int,
        classes: int,
        *,
        height: int,
        width: int,
        channels: int,
        pool: int,
        kernel: int = 3,
    ) -> None:
        image = (height, width)
        positive_sizes("LBEN", channels=channels, kernel=kernel)

        def gaussian(o: int, i: int, side: int) -> Tensor:
            return torch.randn(o, i, side, side, dtype=torch.float64) / (i**0.5 * side)

        zeros = torch.zeros(channels, dtype=torch.float64)
        layer = LBEN(
            log_psi=zeros,
            U=gaussian(channels, channels_of(d, image), kernel),
            G=gaussian(channels, channels, 1),
            V=gaussian(channels, channels, kernel),
            S=gaussian(channels, channels, kernel),
            b_z=zeros,
            b_y=zeros,
            sigma=Sigma.of(ReLU(), channels * height * width),
            lip=1.0,
            eps=NUDGE,
            torus=Torus(height, width),
        )
        super().__init__(layer, channels, pool, classes, image)
