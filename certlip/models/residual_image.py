"""Classifiers of images of residual layers, SLL or CPL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from certlip.layers import (
    ChannelPad,
    CPLConv,
    CPLDense,
    LipschitzLayer,
    NormalizedHead,
    SLLConv,
    SLLDense,
    Truncate,
)
from certlip.layers.base import positive_sizes
from certlip.models.image import ImageClassifier
from certlip.models.sizes import channels_of, flag, padding_of


class ResidualImageClassifier(ImageClassifier):
    """Zero padding of channels, residual layers on images, pooling, dense residual layers, a head.

    Args:
        d: Length of the flattened input, c·height·width.
        classes: Number of logits.
        height, width: Size of the image.
        channels: Channels of every layer on images, at least c.
        inner: Hidden channels of each.
        conv_depth: Number of layers on images.
        pool: Side of the pooling windows; 1 does not pool.
        hidden: Hidden units of each dense layer.
        dense_depth: Number of dense layers.
        kernel: Side of the kernels.
        zero_padding: 1 pads images with zeros; 0 continues them at the other side.
        normalized_head: 1 ends in an affine map with rows of unit norm; 0 takes the first coordinates.
        mean: Subtracted from each channel of the input; empty subtracts nothing.

    Raises:
        InputError: a size that does not fit.
    """

    family: ClassVar[str]
    conv: ClassVar[Callable[..., LipschitzLayer]]
    dense: ClassVar[Callable[[int, int], LipschitzLayer]]

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
        zero_padding: int = 0,
        normalized_head: int = 0,
        mean: Sequence[float] = (),
    ) -> None:
        positive_sizes(self.family, conv_depth=conv_depth, pool=pool, dense_depth=dense_depth)
        image, padding = (height, width), padding_of(zero_padding)
        pad = ChannelPad(channels_of(d, image), channels, image)
        features = channels * (height // pool) * (width // pool)
        head = NormalizedHead if flag("normalized_head", normalized_head) else Truncate
        make, make_dense = type(self).conv, type(self).dense
        convs = [
            make(channels, inner, image, size=kernel, padding=padding) for _ in range(conv_depth)
        ]
        dense = [make_dense(features, hidden) for _ in range(dense_depth)]
        super().__init__(
            d, image, [pad, *convs], channels, pool, [*dense, head(features, classes)], mean
        )


class SLLConvClassifier(ResidualImageClassifier):
    """SLL layers."""

    family = "SLL"
    conv = SLLConv
    dense = SLLDense


class CPLConvClassifier(ResidualImageClassifier):
    """Convex potential layers."""

    family = "CPL"
    conv = CPLConv
    dense = CPLDense
