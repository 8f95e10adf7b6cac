"""What layers on images share: an image of one size, and kernels that fit into it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Sigma
from certlip.blocks.activations import ActivationKind
from certlip.errors import InputError
from certlip.layers.base import LipschitzLayer, full_precision, positive_sizes
from certlip.linalg.operators import Operator
from certlip.linalg.operators.stencil import PADDINGS
from certlip.linalg.torus import Torus


class ImageLayer(LipschitzLayer):
    """A layer on images x (batch, c, height, width) of the size `image` = (height, width).

    Frozen blocks act on the same images, flattened channel by channel.
    """

    def __init__(self, layer: str, image: tuple[int, int]) -> None:
        super().__init__()
        height, width = image
        positive_sizes(layer, height=height, width=width)
        self.torus = Torus(height, width)

    def on_images(self, A: Operator, x: Tensor) -> Tensor:
        """Ax of images, as images, in float32 at least: there are no spectra in less."""
        with full_precision(x.device):
            x = x.float() if x.dtype == torch.bfloat16 else x
            return A.apply(x.flatten(1)).unflatten(1, (-1, self.torus.height, self.torus.width))

    def sigma(self, activation: ActivationKind, channels: int) -> Sigma:
        """σ on all pixels of that many channels."""
        return Sigma.of(activation, channels * self.torus.pixels)


class ConvLayer(ImageLayer):
    """A layer with one trainable kernel (o, i, kh, kw), `size` = (kh, kw) or one number for both."""

    def __init__(
        self,
        layer: str,
        o: int,
        i: int,
        image: tuple[int, int],
        size: int | tuple[int, int],
        padding: str = "circular",
    ) -> None:
        super().__init__(layer, image)
        kh, kw = (size, size) if isinstance(size, int) else size
        positive_sizes(layer, kernel_height=kh, kernel_width=kw)
        if kh > self.torus.height or kw > self.torus.width:
            raise InputError(
                f"{layer} layer with a kernel of {kh}×{kw} taps: expected at most the "
                f"{self.torus.height}×{self.torus.width} pixels of the image"
            )
        if padding not in PADDINGS:
            raise InputError(f"{layer} layer with padding {padding!r}: expected one of {PADDINGS}")
        self.padding = padding
        self.kernel = nn.Parameter(torch.empty(o, i, kh, kw))
        nn.init.xavier_normal_(self.kernel)

    @property
    def geometry(self) -> dict[str, int]:
        """The size of the image, as blocks name it."""
        return {"height": self.torus.height, "width": self.torus.width}
