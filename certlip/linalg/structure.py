"""Matrices, or kernels on a torus: the two algebras in which the families are written.

A formula over blocks with `.mH` for the transpose is the dense formula for a matrix, and the formula per
frequency for the spectrum of a kernel; sums, products, inverses and Hermitian square roots stay inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from certlip.errors import InputError
from certlip.linalg.operators import Dense, Operator, as_operator, convolution
from certlip.linalg.operators.circulant import Circulant
from certlip.linalg.torus import Torus, anchor


class Structure(ABC):
    """How stored arrays (o, i, …) become blocks (…, o, i), and blocks become operators."""

    #: The image of convolutions, None for matrices.
    torus: Torus | None
    #: Coordinates that one unit (a neuron, a channel) stands for.
    repeat: int
    #: Number of axes of a stored array.
    ndim: int

    @abstractmethod
    def blocks(self, array: Tensor) -> Tensor:
        """The blocks of a stored array, differentiable."""

    @abstractmethod
    def array(self, blocks: Tensor, sides: Sequence[int] | None = None) -> Tensor:
        """The stored array with these blocks; `sides` of a kernel known to have no further taps."""

    @abstractmethod
    def operator(self, blocks: Tensor) -> Operator:
        """The operator with these blocks."""

    @abstractmethod
    def map(self, array: Tensor) -> Operator:
        """The operator of a stored array."""

    @abstractmethod
    def check(self, what: str, array: Tensor) -> None:
        """Raises an `InputError` unless the array has this structure."""

    @abstractmethod
    def product(self, A: Tensor, B: Tensor) -> Tensor:
        """The array of the composition A ∘ B."""

    @abstractmethod
    def adjoint(self, A: Tensor) -> Tensor:
        """The array of the adjoint."""

    @abstractmethod
    def on_constant(self, A: Tensor) -> Tensor:
        """The matrix (o, i) by which A acts on what is constant over the pixels."""

    @abstractmethod
    def grid(self, rows: Sequence[Sequence[Tensor]]) -> Tensor:
        """The array with these arrays as its blocks of units."""

    def diagonal(self, values: Tensor) -> Tensor:
        """The array of the diagonal operator with a value per unit."""
        return self.lifted(torch.diag(values))

    def lifted(self, matrix: Tensor) -> Tensor:
        """A matrix (o, i) between units as an array that acts on each pixel alone."""
        return matrix.reshape(*matrix.shape, *[1] * (self.ndim - 2))

    def columns(self, A: Tensor, values: Tensor) -> Tensor:
        """A times the diagonal of a value per unit, (i,)."""
        return A * values.reshape(1, -1, *[1] * (self.ndim - 2))

    def spread(self, per_unit: Tensor) -> Tensor:
        """A value per unit as a value per coordinate."""
        return per_unit if self.repeat == 1 else per_unit.repeat_interleave(self.repeat)


class DenseStructure(Structure):
    """Matrices (o, i)."""

    torus = None
    repeat = 1
    ndim = 2

    def blocks(self, array: Tensor) -> Tensor:
        return array

    def array(self, blocks: Tensor, sides: Sequence[int] | None = None) -> Tensor:
        del sides
        return blocks

    def operator(self, blocks: Tensor) -> Operator:
        return Dense(blocks)

    def map(self, array: Tensor) -> Operator:
        return as_operator(array)

    def check(self, what: str, array: Tensor) -> None:
        if array.ndim != 2:
            raise InputError(f"{what} has shape {tuple(array.shape)}: expected a matrix")

    def product(self, A: Tensor, B: Tensor) -> Tensor:
        return A @ B

    def adjoint(self, A: Tensor) -> Tensor:
        return A.mT

    def on_constant(self, A: Tensor) -> Tensor:
        return A

    def grid(self, rows: Sequence[Sequence[Tensor]]) -> Tensor:
        return torch.cat([torch.cat(list(row), dim=1) for row in rows])


class TorusStructure(Structure):
    """Kernels (o, i, kh, kw) with circular padding on one torus."""

    ndim = 4

    def __init__(self, torus: Torus) -> None:
        self.torus: Torus = torus
        self.repeat = torus.pixels

    def blocks(self, array: Tensor) -> Tensor:
        return self.torus.spectrum(array)

    def array(self, blocks: Tensor, sides: Sequence[int] | None = None) -> Tensor:
        whole = (self.torus.height, self.torus.width)
        kh, kw = whole if sides is None else map(min, sides, whole)
        return self.torus.kernel(blocks, kh, kw)

    def operator(self, blocks: Tensor) -> Operator:
        return Circulant(blocks, self.torus)

    def map(self, array: Tensor) -> Operator:
        return convolution(array, self.torus)

    def check(self, what: str, array: Tensor) -> None:
        height, width = self.torus.height, self.torus.width
        if array.ndim != 4 or array.shape[2] > height or array.shape[3] > width:
            raise InputError(
                f"{what} has shape {tuple(array.shape)}: expected a kernel (o, i, kh, kw) of at most "
                f"{height}×{width} taps"
            )

    def product(self, A: Tensor, B: Tensor) -> Tensor:
        sides = [
            _side(anchor(a) + anchor(b), a // 2 + b // 2)
            for a, b in zip(A.shape[2:], B.shape[2:], strict=True)
        ]
        return self.array(self.blocks(A) @ self.blocks(B), sides)

    def adjoint(self, A: Tensor) -> Tensor:
        sides = [_side(k // 2, anchor(k)) for k in A.shape[2:]]
        if sides[0] > self.torus.height or sides[1] > self.torus.width:
            return self.array(self.blocks(A).mH)
        # a tap t becomes the tap −t: turned by 180°, with the anchor in its new place
        turned = A.flip(2, 3).transpose(0, 1)
        return _placed(turned, sides, [k // 2 for k in A.shape[2:]])

    def on_constant(self, A: Tensor) -> Tensor:
        return A.sum(dim=(2, 3))

    def grid(self, rows: Sequence[Sequence[Tensor]]) -> Tensor:
        arrays = [array for row in rows for array in row]
        sides = [
            _side(
                max(anchor(a.shape[axis]) for a in arrays), max(a.shape[axis] // 2 for a in arrays)
            )
            for axis in (2, 3)
        ]

        def resized(A: Tensor) -> Tensor:
            return _placed(A, sides, [anchor(k) for k in A.shape[2:]])

        return torch.cat([torch.cat([resized(array) for array in row], dim=1) for row in rows])


def _side(before: int, after: int) -> int:
    """The length of the smallest kernel with that many taps before and after its anchor."""
    return max(2 * before + 1, 2 * after)


def _placed(A: Tensor, sides: Sequence[int], anchors: Sequence[int]) -> Tensor:
    """The taps of A, whose anchor is at `anchors`, in a kernel of these sides."""
    before = [anchor(side) - at for side, at in zip(sides, anchors, strict=True)]
    after = [s - k - b for s, k, b in zip(sides, A.shape[2:], before, strict=True)]
    return F.pad(A, (before[1], after[1], before[0], after[0]))


def structure_on(torus: Torus | None) -> Structure:
    """Kernels on the torus, matrices without one."""
    return DenseStructure() if torus is None else TorusStructure(torus)
