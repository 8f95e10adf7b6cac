"""A random network of every family on images, strided and padded kinds among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmarks.fuzz.chance import Chance
from certlip.blocks import Activation, Affine, Block, Network, PaddedEquilibrium, Sigma
from certlip.blocks.strided import convolution_blocks
from certlip.equilibrium import LBEN, ImplicitLayer, MonDEQ
from certlip.layers import (
    AOLConv,
    ChannelPad,
    CPLConv,
    GroupSort,
    LipschitzLayer,
    NormalizedHead,
    OrthogonalConv,
    Pool,
    SandwichConv,
    SLLConv,
    Truncate,
)
from certlip.linalg.torus import Torus

#: The last one has kernels of more than 49 taps where a layer's kernel is as large as the image.
IMAGES = ((4, 4), (2, 4), (3, 5), (1, 6), (8, 8))
SMALL = IMAGES[:-1]


class Image:
    """The size of the images of one network, and layers for it."""

    def __init__(self, chance: Chance, sizes: Sequence[tuple[int, int]] = IMAGES) -> None:
        self.chance, self.size = chance, chance.one_of(sizes)
        self.pixels = self.size[0] * self.size[1]
        self.kernel = chance.size(1, min(3, self.size[0])), chance.size(1, min(4, self.size[1]))
        self.padding = chance.one_of(("circular", "zero"))

    def head(self, channels: int) -> list[LipschitzLayer]:
        """Pooling where windows of 2×2 fit, and a head."""
        layers: list[LipschitzLayer] = []
        d = channels * self.pixels
        if all(side % 2 == 0 for side in self.size) and self.chance.rng.random() < 0.7:
            layers.append(Pool(channels, 2, self.size))
            d //= 4
        kind = self.chance.one_of((Truncate, NormalizedHead))
        return [*layers, kind(d, self.chance.size(2, min(d, 5)))]


def residual(chance: Chance, layer: Callable[..., LipschitzLayer]) -> Network:
    """SLL or CPL behind channels of zeros."""
    image, c = Image(chance), chance.size(1, 2)
    channels = c + chance.size(0, 2)
    layers = [
        layer(
            *(channels, chance.size(1, 4), image.size),
            size=image.kernel,
            padding=image.padding,
            activation=chance.activation(),
        )
        for _ in range(chance.size(1, 2))
    ]
    return chance.frozen(ChannelPad(c, channels, image.size), *layers, *image.head(channels))


def aol(chance: Chance) -> Network:
    """AOL convolutions, with MaxMin in every other network."""
    image, c, q = Image(chance), chance.size(1, 2), 2 * chance.size(1, 2)
    pairs = chance.rng.random() < 0.5
    layer = AOLConv(
        *(c, q, image.size),
        size=image.kernel,
        padding=image.padding,
        activation=None if pairs else chance.activation(),
    )
    sort = [GroupSort(q, pixels=image.pixels)] if pairs else []
    return chance.frozen(layer, *sort, *image.head(q))


def orthogonal(chance: Chance) -> Network:
    image, c, q = Image(chance), chance.size(1, 2), chance.size(1, 3)
    layer = OrthogonalConv(c, q, image.size, size=image.kernel, activation=chance.activation())
    return chance.frozen(layer, *image.head(q))


def sandwich(chance: Chance) -> Network:
    image, c, q = Image(chance), chance.size(1, 2), chance.size(1, 3)
    layer = SandwichConv(
        *(c, chance.size(1, 4), q, image.size),
        size=image.kernel,
        activation=chance.activation(),
        lip=chance.log(-1.0, 1.0),
    )
    return chance.frozen(layer, *image.head(q))


def mondeq(chance: Chance, *, generalized: bool) -> Network:
    chance.wild = False
    image, n = Image(chance, SMALL), chance.size(1, 3)
    layer: ImplicitLayer = MonDEQ(
        *(chance.size(1, 2), n),
        m=chance.log(-1.0, 0.5),
        lip=chance.one_of((None, 1.0)),
        generalized=generalized,
        activation=chance.activation(0.1),
        torus=Torus(*image.size),
        kernel=min(image.size),
    )
    return chance.frozen(layer, *image.head(n))


def lben(chance: Chance) -> Network:
    chance.wild = False
    image, n, c = Image(chance), chance.size(1, 3), chance.size(1, 2)
    zeros = torch.zeros(n, dtype=torch.float64)
    layer = LBEN(
        log_psi=0.5 * chance.normal(n),
        U=chance.normal(n, c, *image.kernel),
        G=chance.normal(n, n, 1, 1),
        V=0.5 * chance.normal(n, n, *image.kernel),
        S=0.5 * chance.normal(n, n, *image.kernel),
        b_z=zeros,
        b_y=zeros.clone(),
        sigma=Sigma.of(chance.activation(0.1), n * image.pixels),
        lip=chance.log(-1.0, 1.0),
        eps=chance.log(-3.0, -1.0),
        torus=Torus(*image.size),
    )
    return chance.frozen(layer, *image.head(n))


def strided(chance: Chance) -> Network:
    """A convolution with strides and any padding as windows, an activation, an affine block."""
    c, q, kernel = chance.size(1, 2), chance.size(1, 3), (chance.size(1, 3), chance.size(1, 3))
    stride = chance.size(1, 2), chance.size(1, 3)
    sides = tuple(chance.size(0, 1) for _ in range(4))
    scale = chance.log(-1.0, 1.0)
    blocks: list[Block] = convolution_blocks(
        scale * chance.normal(q, c, *kernel),
        scale * chance.scale * chance.normal(q),
        (4, 5),
        stride=stride,
        padding=(sides[0], sides[1], sides[2], sides[3]),
    )
    width = blocks[-1].out_width
    W = chance.normal(chance.size(2, 4), width)
    return chance.normalized(
        [*blocks, Activation(Sigma.of(chance.activation(), width)), Affine(W, W.new_zeros(len(W)))]
    )


def padded(chance: Chance) -> Network:
    """The published LBEN on images that end in zeros, with its dense output."""
    n, c, q, (H, W) = chance.size(1, 2), 1, chance.size(2, 4), (4, 3)

    def kernel(o: int, i: int, side: int):
        return 0.5 * chance.normal(o, i, side, side)

    block = PaddedEquilibrium(
        torch.from_numpy(chance.rng.uniform(0.5, 2.0, (n, H, W))),
        kernel(n, c, 3),
        kernel(n + 1, n, 3),
        kernel(n, n, 1),
        0.5 * chance.normal(q, n * H * W),
        chance.scale * chance.normal(n),
        chance.scale * chance.normal(q),
        chance.log(-0.5, 0.5),
        chance.log(-0.5, 0.5),
        Sigma.of(chance.activation(0.1), n * H * W),
    )
    return chance.normalized([block])


IMAGE: dict[str, Callable[[Chance], Network]] = {
    "sll-conv": lambda chance: residual(chance, SLLConv),
    "cpl-conv": lambda chance: residual(chance, CPLConv),
    "aol-conv": aol,
    "orthogonal-conv": orthogonal,
    "sandwich-conv": sandwich,
    "mondeq-conv": lambda chance: mondeq(chance, generalized=False),
    "g-mondeq-conv": lambda chance: mondeq(chance, generalized=True),
    "lben-conv": lben,
    "strided": strided,
    "padded": padded,
}
