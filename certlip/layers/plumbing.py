"""What stands between the layers of an image model: 1-Lipschitz maps without weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from certlip import blocks
from certlip.blocks import Block, Normalize, Pooling, Resize
from certlip.errors import InputError
from certlip.layers.base import LipschitzLayer, positive_sizes
from certlip.layers.image import ImageLayer


class ToImages(ImageLayer):
    """(batch, c·H·W) → (batch, c, H, W), channel by channel."""

    def __init__(self, image: tuple[int, int]) -> None:
        super().__init__("image", image)

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.torus.height, self.torus.width))

    def freeze(self) -> list[Block]:
        return []  # blocks act on flattened images


class ToVectors(LipschitzLayer):
    """(batch, c, H, W) → (batch, c·H·W), channel by channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def freeze(self) -> list[Block]:
        return []


class Center(ImageLayer):
    """x − mean per channel, in the units of x: no Lipschitz constant changes.

    Raises:
        InputError: no mean, or one that is not finite.
    """

    def __init__(self, mean: Sequence[float], image: tuple[int, int]) -> None:
        super().__init__("centering", image)
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float64))
        if self.mean.numel() == 0 or not bool(torch.isfinite(self.mean).all()):
            raise InputError(f"centering layer with mean {list(mean)}: expected finite numbers")

    def forward(self, x: Tensor) -> Tensor:
        return x - self.mean.to(x.dtype)[:, None, None]

    def freeze(self) -> list[Block]:
        mean = self.mean.double().cpu().repeat_interleave(self.torus.pixels)
        return [Normalize(mean, torch.ones_like(mean))]


class ChannelPad(ImageLayer):
    """Channels of zeros behind the c channels of the input, up to `channels`.

    Raises:
        InputError: a size below 1, or fewer channels than the input has.
    """

    def __init__(self, c: int, channels: int, image: tuple[int, int]) -> None:
        super().__init__("padding", image)
        positive_sizes("padding", c=c, channels=channels)
        if channels < c:
            raise InputError(f"padding layer to {channels} channels: expected at least {c}")
        self.c, self.channels = c, channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.channels - self.c))

    def freeze(self) -> list[Block]:
        pixels = self.torus.pixels
        return [Resize(self.c * pixels, self.channels * pixels)]


class Pool(ImageLayer):
    """Sums of window × window pixels divided by the window, which is 1-Lipschitz.

    Raises:
        InputError: a size below 1, or windows that do not divide the image.
    """

    def __init__(self, channels: int, window: int, image: tuple[int, int]) -> None:
        super().__init__("pooling", image)
        self.window = window
        self.block = Pooling(channels, self.torus.height, self.torus.width, window)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.window, divisor_override=self.window)

    def freeze(self) -> list[Block]:
        return [self.block]


class GroupSort(LipschitzLayer):
    """Sorts each group of neighbouring channels, or of neurons, from the largest down; MaxMin by default.

    Args:
        units: Channels of (batch, units, H, W), or width of (batch, units).
        group: Units per group.
        pixels: H·W, or 1 for neurons.

    Raises:
        InputError: a size below 1, or groups that do not divide the units.
    """

    def __init__(self, units: int, group: int = 2, *, pixels: int = 1) -> None:
        super().__init__()
        positive_sizes("group-sort", units=units, group=group, pixels=pixels)
        self.group = group
        self.block = blocks.GroupSort(units * pixels, group, pixels)

    def forward(self, x: Tensor) -> Tensor:
        groups = x.unflatten(1, (-1, self.group))
        if self.group == 2:  # much faster than to sort
            a, b = groups.unbind(dim=2)
            return torch.stack([torch.maximum(a, b), torch.minimum(a, b)], dim=2).flatten(1, 2)
        return groups.sort(dim=2, descending=True).values.flatten(1, 2)

    def freeze(self) -> list[Block]:
        return [self.block]


class Truncate(LipschitzLayer):
    """The first `classes` of d coordinates: a head without weights.

    Raises:
        InputError: a size below 1, or more classes than coordinates.
    """

    def __init__(self, d: int, classes: int) -> None:
        super().__init__()
        positive_sizes("truncation", d=d, classes=classes)
        if classes > d:
            raise InputError(f"truncation layer with {classes} classes: expected at most {d}")
        self.d, self.classes = d, classes

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : self.classes]

    def freeze(self) -> list[Block]:
        return [Resize(self.d, self.classes)]
