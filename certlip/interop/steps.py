"""The linear steps of a feed-forward network, each as the blocks it becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.blocks import Affine, Block, Convolution, Normalize, Pooling, Window
from certlip.blocks.dense_form import WIDEST
from certlip.blocks.strided import convolution_blocks, depthwise
from certlip.errors import UnsupportedError
from certlip.interop.kernels import Pair, Sides, check_kernel


class Step(ABC):
    """Some operation whose numbers are float64 already."""

    @abstractmethod
    def blocks(self) -> list[Block]: ...

    def followed_by(self, step: Step) -> Step | None:
        """This step and the next one as one step, where that is one."""
        del step
        return None


@dataclass(frozen=True)
class Fixed(Step):
    """Blocks that are already there."""

    own: tuple[Block, ...]

    def blocks(self) -> list[Block]:
        return list(self.own)


class EntryByEntry(Step):
    """An affine map of every entry alone, which a linear step before it can take over."""

    @property
    @abstractmethod
    def scaling(self) -> Scaling: ...


@dataclass(frozen=True)
class Scaling(EntryByEntry):
    """y = a x + b entry by entry, a and b of the shape of x: batch normalisation, biases, units."""

    a: Tensor
    b: Tensor

    @property
    def scaling(self) -> Scaling:
        return self

    @property
    def per_channel(self) -> tuple[Tensor, Tensor] | None:
        """a and b per channel of an image, if all pixels of a channel have the same."""
        if self.a.ndim != 3:
            return None
        a, b = self.a[:, :1, :1], self.b[:, :1, :1]
        same = bool((self.a == a).all() and (self.b == b).all())
        return (a.flatten(), b.flatten()) if same else None

    def followed_by(self, step: Step) -> Step | None:
        if not isinstance(step, Scaling) or step.a.shape != self.a.shape:  # reshaped in between
            return None
        return Scaling(self.a, step.b) if bool((step.a == 1).all() and not self.b.any()) else None

    def blocks(self) -> list[Block]:
        if bool((self.a > 0).all()):
            return [Normalize((-self.b / self.a).flatten(), (1.0 / self.a).flatten())]
        channels = self.per_channel
        if channels is not None:
            one = torch.ones(1, 1, dtype=torch.float64)
            K = channels[0][:, None, None, None] * depthwise(one, len(self.a))
            _, height, width = self.a.shape
            return [Convolution(K, channels[1], height, width, "zero")]
        if self.a.numel() > WIDEST:
            raise UnsupportedError(
                f"{self.a.numel()} factors, some of them not positive: expected at most {WIDEST}"
            )
        return [Affine(torch.diag(self.a.flatten()), self.b.flatten())]


@dataclass(frozen=True)
class Normalization(EntryByEntry):
    """y = (x − mean)/std entry by entry: kept as it is given, without rounding 1/std."""

    mean: Tensor
    std: Tensor

    @property
    def scaling(self) -> Scaling:
        return Scaling(1.0 / self.std, -self.mean / self.std)

    def followed_by(self, step: Step) -> Step | None:
        if isinstance(step, Normalization) and bool((self.std == 1).all() and not step.mean.any()):
            return Normalization(self.mean, step.std)
        return None

    def blocks(self) -> list[Block]:
        return [Normalize(self.mean.flatten(), self.std.flatten())]


@dataclass(frozen=True)
class Dense(Step):
    """y = Wx + b."""

    W: Tensor
    b: Tensor

    def followed_by(self, step: Step) -> Step | None:
        if not isinstance(step, EntryByEntry):
            return None
        a, b = step.scaling.a.flatten(), step.scaling.b.flatten()
        return Dense(a[:, None] * self.W, a * self.b + b)

    def blocks(self) -> list[Block]:
        return [Affine(self.W, self.b)]


@dataclass(frozen=True)
class Conv(Step):
    """out[i] = Σ_t K[t] x[s·i + t − p] + b, with dilation and groups written out in K."""

    K: Tensor
    b: Tensor
    image: Pair
    stride: Pair
    padding: Sides
    mode: str

    def followed_by(self, step: Step) -> Step | None:
        channels = step.scaling.per_channel if isinstance(step, EntryByEntry) else None
        if channels is None or len(channels[0]) != len(self.K):  # reshaped in between
            return None
        a, b = channels
        K = a[:, None, None, None] * self.K
        return Conv(K, a * self.b + b, self.image, self.stride, self.padding, self.mode)

    def blocks(self) -> list[Block]:
        return convolution_blocks(
            self.K, self.b, self.image, stride=self.stride, padding=self.padding, mode=self.mode
        )


@dataclass(frozen=True)
class Average(Step):
    """Sums of windows of kh × kw pixels, divided by a number; zeros around the image count."""

    shape: tuple[int, int, int]
    kernel: Pair
    stride: Pair
    padding: Sides
    out: Pair
    divisor: int

    def blocks(self) -> list[Block]:
        found, scale = self._sums()
        size = self.shape[0] * self.out[0] * self.out[1]
        std = torch.full((size,), float(scale), dtype=torch.float64)
        return [*found, Normalize(torch.zeros_like(std), std)] if scale != 1 else found

    def _sums(self) -> tuple[list[Block], int]:
        """Blocks of the sums divided by something, and what is left to divide by."""
        (c, height, width), k = self.shape, self.kernel[0]
        apart = self.kernel == self.stride == (k, k) and not any(self.padding)
        if apart and self.divisor % k == 0:
            rows, columns = (k * n for n in self.out)
            whole = (rows, columns) == (height, width)
            cut = [] if whole else [Window(c, height, width, 0, 0, rows, columns, 1, 1)]
            return [*cut, *([Pooling(c, rows, columns, k)] if k > 1 else [])], self.divisor // k
        check_kernel(c, c, *self.kernel)
        K = depthwise(torch.ones(self.kernel, dtype=torch.float64), c)
        b = torch.zeros(c, dtype=torch.float64)
        image = height, width
        found = convolution_blocks(K, b, image, stride=self.stride, padding=self.padding)
        return found, self.divisor
