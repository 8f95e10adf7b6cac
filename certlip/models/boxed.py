"""Classifiers of images for certified training with boxes: CerDEQ, and plain convolutional networks.

Batch normalisation is optional (`norm` = 1). Sources: Li, Wang & Lin, ICML 2022; CNN-7 of Shi et al.,
NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from certlip.equilibrium.cerdeq import CerDEQ
from certlip.layers.base import positive_sizes
from certlip.layers.boxed import BoxLayer, ConvUnit, DenseUnit
from certlip.linalg.torus import Torus
from certlip.models.base import Model
from certlip.models.box_classifier import BoxClassifier
from certlip.models.sizes import channels_of, flag, padding_of


class CerDEQClassifier(BoxClassifier):
    """Two convolutions with stride 2, `channels` and twice as many channels, a dense CerDEQ layer with
    `hidden` states, and a head. `variant` says how W is kept small.

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
        hidden: int,
        norm: int = 0,
        variant: str = "bjorck",
    ) -> None:
        positive_sizes("CerDEQ", channels=channels, hidden=hidden, classes=classes)
        image = (height, width)
        stem = _stem(channels_of(d, image), channels, image, flag("norm", norm))
        features = 2 * channels * stem[-1].out[0] * stem[-1].out[1]
        layer = CerDEQ(features, hidden, variant=variant)
        super().__init__(image, stem, layer, DenseUnit(hidden, classes, relu=False))


class CerDEQConvClassifier(BoxClassifier):
    """The same convolutions, a convolutional CerDEQ layer with `hidden` channels, and a head.

    `zero_padding` = 1 pads its images with zeros, which is meant for small ones; 0 continues them at the
    other side.

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
        hidden: int,
        kernel: int = 1,
        norm: int = 0,
        zero_padding: int = 0,
    ) -> None:
        positive_sizes("CerDEQ", channels=channels, hidden=hidden, classes=classes)
        image = (height, width)
        stem = _stem(channels_of(d, image), channels, image, flag("norm", norm))
        torus = Torus(*stem[-1].out)
        padding = padding_of(zero_padding)
        layer = CerDEQ(2 * channels, hidden, torus=torus, kernel=kernel, padding=padding)
        super().__init__(image, stem, layer, DenseUnit(hidden * torus.pixels, classes, relu=False))


class CNN7Classifier(BoxClassifier):
    """Five convolutions with 3 × 3 taps, the third with stride 2 and twice the channels, a dense layer
    with `hidden` units, and a head: CNN-7 with `channels` = 64 and `hidden` = 512.

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
        channels: int = 64,
        hidden: int = 512,
        norm: int = 0,
    ) -> None:
        positive_sizes("CNN-7", channels=channels, hidden=hidden, classes=classes)
        image, on = (height, width), flag("norm", norm)
        sizes = [channels_of(d, image), channels, channels, *[2 * channels] * 3]
        layers: list[BoxLayer] = []
        for k in range(5):
            unit = ConvUnit(sizes[k], sizes[k + 1], image, stride=2 if k == 2 else 1, norm=on)
            layers.append(unit)
            image = unit.out
        layers.append(DenseUnit(sizes[-1] * image[0] * image[1], hidden, norm=on))
        super().__init__((height, width), layers, None, DenseUnit(hidden, classes, relu=False))


def _stem(c: int, channels: int, image: tuple[int, int], norm: bool) -> list[ConvUnit]:
    """Two convolutions that halve the image."""
    first = ConvUnit(c, channels, image, 4, stride=2, norm=norm)
    return [first, ConvUnit(channels, 2 * channels, first.out, 4, stride=2, norm=norm)]


#: What is trained with boxes, by name: no family of these has a Lipschitz bound that training keeps.
BOXED: dict[str, Callable[..., Model]] = {
    "cerdeq": CerDEQClassifier,
    "cerdeq-conv": CerDEQConvClassifier,
    "cnn7": CNN7Classifier,
    **{
        name: partial(CerDEQClassifier, variant=variant)
        for name, variant in (
            ("ibp-mondeq", "ibp-mondeq"),
            ("cerdeq-weight-norm", "weight-norm"),
            ("cerdeq-spectral-norm", "spectral-norm"),
        )
    },
}
