"""Classifiers of images: convolutional layers, pooling, dense layers, a head.

Zero padding of channels, pooling with the window as its divisor and leaving out coordinates are
1-Lipschitz, so the whole network is. Sizes are whole numbers, as in a recipe; flags are 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import ClassVar

from certlip.blocks.activations import ReLU
from certlip.errors import InputError
from certlip.layers import (
    AOLConv,
    AOLDense,
    Center,
    ChannelPad,
    CPLConv,
    CPLDense,
    GroupSort,
    LipschitzLayer,
    NormalizedHead,
    OrthogonalDense,
    Pool,
    SandwichConv,
    SandwichDense,
    SLLConv,
    SLLDense,
    ToImages,
    ToVectors,
    Truncate,
)
from certlip.layers.base import positive_sizes
from certlip.models.sequential import SequentialClassifier


class ImageClassifier(SequentialClassifier):
    """Layers on images, pooling, and layers on vectors one after the other.

    Args:
        d: Length of the flattened input, c·height·width.
        image: (height, width).
        layers: Layers on images.
        channels: Channels that the last of them gives.
        pool: Side of the pooling windows; 1 does not pool.
        dense: Layers on channels·(height/pool)·(width/pool) coordinates.
        mean: Subtracted from each channel of the input; empty subtracts nothing.
    """

    def __init__(
        self,
        d: int,
        image: tuple[int, int],
        layers: Sequence[LipschitzLayer],
        channels: int,
        pool: int,
        dense: Sequence[LipschitzLayer],
        mean: Sequence[float] = (),
    ) -> None:
        if len(mean) not in (0, channels_of(d, image)):
            raise InputError(
                f"mean of {len(mean)} channels: expected one number for each of "
                f"{channels_of(d, image)}"
            )
        center = [Center(mean, image)] if len(mean) else []
        pooling = [Pool(channels, pool, image)] if pool > 1 else []
        super().__init__([ToImages(image), *center, *layers, *pooling, ToVectors(), *dense])


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


def channels_of(d: int, image: tuple[int, int]) -> int:
    """The channels of d coordinates on an image.

    Raises:
        InputError: the image is empty, or d is no whole number of channels.
    """
    height, width = image
    positive_sizes("image", d=d, height=height, width=width)
    if d % (height * width):
        raise InputError(
            f"{d} inputs on images of {height}×{width} pixels: expected a multiple of {height * width}"
        )
    return d // (height * width)


def flag(name: str, value: int) -> bool:
    """A flag of a recipe.

    Raises:
        InputError: neither 0 nor 1.
    """
    if value not in (0, 1):
        raise InputError(f"{name} = {value!r}: expected 0 or 1")
    return bool(value)


def padding_of(zero_padding: int) -> str:
    """The padding that a recipe asks for."""
    return "zero" if flag("zero_padding", zero_padding) else "circular"
