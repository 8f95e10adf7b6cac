"""The operations of feed-forward networks as steps: what readers of modules and of graphs share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from certlip.blocks import Activation, Block, Sigma, Window
from certlip.blocks.activations import ActivationKind
from certlip.errors import InputError, UnsupportedError
from certlip.interop.chain import Chain
from certlip.interop.kernels import Pair, Sides, checked_shape, dilated, out_sides, without_groups
from certlip.interop.steps import Average, Conv, Dense, Fixed, Normalization, Scaling

Numbers = float | Sequence[float] | Tensor


class Lowering(Chain):
    """The operations, one method each, on what comes out so far; all numbers become float64."""

    def dense(self, W: Tensor, b: Tensor | None = None) -> None:
        """Wx + b."""
        W = W.double()
        if self._shape is None:
            self._shape = (W.shape[1],)
        if self.shape != (W.shape[1],):
            raise InputError(
                f"input of shape {self.shape}: expected ({W.shape[1]},), images flattened before"
            )
        zero = torch.zeros(W.shape[0], dtype=torch.float64)
        self._append(Dense(W, zero if b is None else b.double()), (W.shape[0],))

    def convolution(
        self,
        K: Tensor,
        b: Tensor | None,
        *,
        stride: Pair,
        padding: Sides,
        mode: str = "zero",
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> None:
        """out[i] = Σ_t K[t] x[s·i + t − p] + b, K (o, c/groups, kh, kw); padding above, below, left and
        right."""
        c, *image = self.image
        if c != K.shape[1] * groups:
            raise InputError(
                f"input of shape {self.shape}: expected {K.shape[1] * groups} channels"
            )
        K = without_groups(dilated(K.double(), dilation), groups)
        zero = torch.zeros(K.shape[0], dtype=torch.float64)
        size = (image[0], image[1])
        out = out_sides(size, (K.shape[2], K.shape[3]), stride, padding)
        b = zero if b is None else b.double()
        self._append(Conv(K, b, size, stride, padding, mode), (K.shape[0], *out))

    def average(
        self, kernel: Pair, *, stride: Pair, padding: Sides, divisor: int | None = None
    ) -> None:
        """The mean of windows, or their sum over `divisor`; zeros around the image count."""
        c, *size = self.image
        out = out_sides((size[0], size[1]), kernel, stride, padding)
        count = kernel[0] * kernel[1] if divisor is None else divisor
        self._append(Average(self.image, kernel, stride, padding, out, count), (c, *out))

    def average_to(self, out: Pair) -> None:
        """The mean of as many windows of one size as pixels shall come out.

        Raises:
            UnsupportedError: windows of one size do not divide the image.
        """
        _, height, width = self.image
        if height % out[0] or width % out[1]:
            raise UnsupportedError(
                f"averages to {out[0]}×{out[1]} do not divide an image of {height}×{width} pixels"
            )
        kernel = height // out[0], width // out[1]
        self.average(kernel, stride=kernel, padding=(0, 0, 0, 0))

    def pad(self, padding: Sides) -> None:
        """Zeros above, below, left and right; a negative number of them cuts off."""
        c, height, width = self.image
        above, below, left, right = padding
        rows, columns = height + above + below, width + left + right
        if any(padding):
            window = Window(c, height, width, -above, -left, rows, columns, 1, 1)
            self._append(Fixed((window,)), (c, rows, columns))

    def scale(self, a: Tensor | float, b: Tensor | float) -> None:
        """ax + b entry by entry; a and b are broadcast to the shape."""
        self._append(Scaling(self._spread(a), self._spread(b)), self.shape)

    def per_channel(self, a: Tensor, b: Tensor) -> None:
        """ax + b with one a and b per channel, or per coordinate of a vector."""
        if a.shape != self.shape[:1]:
            raise InputError(f"input of shape {self.shape}: expected {len(a)} channels")
        ones = (1,) * (len(self.shape) - 1)
        self.scale(a.reshape(-1, *ones), b.reshape(-1, *ones))

    def normalize(self, mean: Tensor | float, std: Tensor | float) -> None:
        """(x − mean)/std entry by entry; both are broadcast to the shape."""
        mean, std = self._spread(mean), self._spread(std)
        if bool((std > 0).all()):
            self._append(Normalization(mean, std), self.shape)
        elif bool((std == 0).any()):
            raise InputError("division by 0")
        else:
            self._append(Scaling(1.0 / std, -mean / std), self.shape)

    def normalize_input(self, mean: Numbers | None, std: Numbers | None) -> None:
        """(x − mean)/std of the raw input, if one of them is given: one number, or one per channel.

        Raises:
            InputError: not finite, std not positive, or not as many as channels.
        """
        if mean is None and std is None:
            return
        with self.at("normalisation"):
            parts = []
            for name, value in (
                ("mean", 0.0 if mean is None else mean),
                ("std", 1.0 if std is None else std),
            ):
                numbers = torch.as_tensor(value, dtype=torch.float64)
                good = torch.isfinite(numbers) & (numbers > (0.0 if name == "std" else -math.inf))
                if numbers.ndim > 1 or not bool(good.all()):
                    raise InputError(
                        f"{name} {value!r}: expected finite numbers per channel, std > 0"
                    )
                ones = (1,) * (len(self.shape) - 1)
                parts.append(numbers.reshape(-1, *ones) if numbers.ndim else numbers)
            self.normalize(*parts)

    def activation(self, kind: ActivationKind) -> None:
        """σ of every entry.

        Raises:
            UnsupportedError: its slopes leave [0, 1].
        """
        sigma = Sigma.of(kind, math.prod(self.shape))
        self._append(Fixed((Activation(sigma),)), self.shape)

    def reshape(self, shape: Sequence[int]) -> None:
        """The same numbers in the same order.

        Raises:
            InputError: not as many numbers.
        """
        shape = checked_shape(shape)
        if math.prod(shape) != math.prod(self.shape):
            raise InputError(f"input of shape {self.shape}: expected {math.prod(shape)} numbers")
        self._shape = shape

    def flatten(self) -> None:
        """One vector; of an unknown shape it is one already."""
        if self.known:
            self._shape = (math.prod(self.shape),)

    def fixed(self, blocks: Sequence[Block], out: Sequence[int] | None = None) -> None:
        """Blocks of certlip, whose output has the shape `out`, a vector by default."""
        if not blocks:
            self._shape = self._shape if out is None else checked_shape(out)
            return
        width = blocks[0].in_width
        if self.known and math.prod(self.shape) != width:
            raise InputError(f"input of shape {self.shape}: expected {width} numbers")
        self._append(Fixed(tuple(blocks)), out or (blocks[-1].out_width,))
