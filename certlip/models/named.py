"""The networks of the papers by name: a row says what a published architecture is made of.

Each is called with the length of the flattened input, the number of classes and, if it is one of images,
their height and width, and takes the sizes of its family as options. To add one: a row here, a test row.

Sources. havens2023: Havens et al., NeurIPS 2023, Section 4.2, with the sizes of its reference code, where
the layers of 8 channels have 5 hidden ones. araujo2023: Araujo et al., ICLR 2023, with the sizes, the zero
padding and the 5 hidden channels of its reference code. winston2020: Winston & Kolter, NeurIPS 2020, the
monotone DEQs of one dense layer (MNIST) and of one convolutional layer (CIFAR-10), made 1-Lipschitz; the
convolutions are circular on the image itself, where the source first pads it by a border.
"""

from __future__ import annotations

from functools import partial

from certlip.models.base import Model
from certlip.models.implicit import MonDEQClassifier
from certlip.models.implicit_image import MonDEQConvClassifier
from certlip.models.residual_image import SLLConvClassifier


def _araujo2023(channels: int, conv_depth: int, dense_depth: int) -> partial[Model]:
    return partial(
        SLLConvClassifier,
        channels=channels,
        inner=5,
        conv_depth=conv_depth,
        pool=4,
        hidden=2048,
        dense_depth=dense_depth,
        zero_padding=1,
        normalized_head=1,
    )


NAMED: dict[str, partial[Model]] = {
    "havens2023-sll": partial(
        SLLConvClassifier, channels=8, inner=5, conv_depth=4, pool=4, hidden=512, dense_depth=2
    ),
    "araujo2023-small": _araujo2023(channels=45, conv_depth=20, dense_depth=7),
    "araujo2023-medium": _araujo2023(channels=60, conv_depth=30, dense_depth=10),
    "araujo2023-large": _araujo2023(channels=90, conv_depth=50, dense_depth=10),
    "araujo2023-xlarge": _araujo2023(channels=120, conv_depth=70, dense_depth=15),
    "winston2020-fc": partial(MonDEQClassifier, hidden=87),
    "winston2020-conv": partial(MonDEQConvClassifier, channels=81, pool=4),
}
