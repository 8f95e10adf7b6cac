"""Classifiers of images that are a plain sequence of layers: AOL and Sandwich."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from certlip.blocks.activations import ReLU
from certlip.layers import (
    AOLConv,
    AOLDense,
    GroupSort,
    LipschitzLayer,
    OrthogonalDense,
    SandwichConv,
    SandwichDense,
)
from certlip.layers.base import positive_sizes
from certlip.models.image import ImageClassifier
from certlip.models.sizes import channels_of, flag, padding_of


class AOLConvClassifier(ImageClassifier):
    """`conv_depth` AOL layers of `channels` channels, pooling, `dense_depth` AOL layers of `hidden`
    units, and an AOL layer to the logits.

    `maxmin` = 1 takes MaxMin in place of ReLU, which is no activation of an equilibrium.

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
        conv_depth: int,
        pool: int,
        hidden: int,
        dense_depth: int,
        kernel: int = 3,
        zero_padding: int = 0,
        maxmin: int = 0,
        mean: Sequence[float] = (),
    ) -> None:
        positive_sizes("AOL", conv_depth=conv_depth, pool=pool, dense_depth=dense_depth)
        image, padding = (height, width), padding_of(zero_padding)
        pairs = flag("maxmin", maxmin)
        sigma = None if pairs else ReLU()
        convs: list[LipschitzLayer] = []
        for a, b in pairwise([channels_of(d, image), *[channels] * conv_depth]):
            convs.append(AOLConv(a, b, image, size=kernel, padding=padding, activation=sigma))
            convs.extend([GroupSort(b, pixels=height * width)] if pairs else [])
        features = channels * (height // pool) * (width // pool)
        dense: list[LipschitzLayer] = []
        for a, b in pairwise([features, *[hidden] * dense_depth]):
            dense.append(AOLDense(a, b, sigma))
            dense.extend([GroupSort(b)] if pairs else [])
        super().__init__(d, image, convs, channels, pool, [*dense, AOLDense(hidden, classes)], mean)


class SandwichConvClassifier(ImageClassifier):
    """`conv_depth` Sandwich layers of `channels` channels and `inner` hidden ones, pooling, `dense_depth`
    Sandwich layers of as many coordinates and `hidden` units, and an orthogonal head; circular padding.

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
        inner: int,
        conv_depth: int,
        pool: int,
        hidden: int,
        dense_depth: int,
        kernel: int = 3,
        mean: Sequence[float] = (),
    ) -> None:
        positive_sizes("sandwich", conv_depth=conv_depth, pool=pool, dense_depth=dense_depth)
        image = (height, width)
        convs = [
            SandwichConv(a, inner, b, image, size=kernel)
            for a, b in pairwise([channels_of(d, image), *[channels] * conv_depth])
        ]
        features = channels * (height // pool) * (width // pool)
        dense = [SandwichDense(features, hidden, features) for _ in range(dense_depth)]
        super().__init__(
            d, image, convs, channels, pool, [*dense, OrthogonalDense(features, classes)], mean
        )
