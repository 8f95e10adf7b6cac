"""What classifiers of images have in common: layers on images, pooling, dense layers, a head.

Zero padding of channels, pooling with the window as its divisor and leaving out coordinates are
1-Lipschitz, so the whole network is.
"""

from __future__ import annotations

from collections.abc import Sequence

from certlip.errors import InputError
from certlip.layers import Center, LipschitzLayer, Pool, ToImages, ToVectors
from certlip.models.sequential import SequentialClassifier
from certlip.models.sizes import channels_of


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
