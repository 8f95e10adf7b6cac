"""Matrices, or kernels on a torus: the two algebras in which the families are written.

A formula over blocks with `.mH` for the transpose is the dense formula for a matrix, and the formula per
frequency for the spectrum of a kernel; sums, products, inverses and Hermitian square roots stay inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from certlip.errors import InputError
from certlip.linalg.operators import Dense, Operator, convolution
from certlip.linalg.operators.circulant import Circulant
from certlip.linalg.torus import Torus


class Structure(ABC):
    """How stored arrays (o, i, …) become blocks (…, o, i), and blocks become operators."""

    #: Coordinates that one unit stands for.
    repeat: int
    #: Number of axes of a stored array.
    ndim: int

    @abstractmethod
    def blocks(self, array: Tensor) -> Tensor:
        """The blocks of a stored array, differentiable."""

    @abstractmethod
    def array(self, blocks: Tensor, *like: Tensor) -> Tensor:
        """The stored array with these blocks, of the size that products XᴴY of arrays `like` need."""

    @abstractmethod
    def operator(self, blocks: Tensor) -> Operator:
        """The operator with these blocks."""

    @abstractmethod
    def map(self, array: Tensor) -> Operator:
        """The operator of a stored array."""

    @abstractmethod
    def check(self, what: str, array: Tensor) -> None:
        """Raises an `InputError` unless the array has this structure."""

    def spread(self, per_unit: Tensor) -> Tensor:
        """A value per unit as a value per coordinate."""
        return per_unit if self.repeat == 1 else per_unit.repeat_interleave(self.repeat)


class DenseStructure(Structure):
    """Matrices (o, i)."""

    repeat = 1
    ndim = 2

    def blocks(self, array: Tensor) -> Tensor:
        return array

    def array(self, blocks: Tensor, *like: Tensor) -> Tensor:
        del like
        return blocks

    def operator(self, blocks: Tensor) -> Operator:
        return Dense(blocks)

    def map(self, array: Tensor) -> Operator:
        return Dense(array)

    def check(self, what: str, array: Tensor) -> None:
        if array.ndim != 2:
            raise InputError(f"{what} has shape {tuple(array.shape)}: expected a matrix")


class TorusStructure(Structure):
    """Kernels (o, i, kh, kw) with circular padding on one torus."""

    ndim = 4

    def __init__(self, torus: Torus) -> None:
        self.torus, self.repeat = torus, torus.pixels

    def blocks(self, array: Tensor) -> Tensor:
        return self.torus.spectrum(array)

    def array(self, blocks: Tensor, *like: Tensor) -> Tensor:
        sides = [
            min(max(2 * array.shape[axis] - 1 for array in like), whole)
            for axis, whole in ((2, self.torus.height), (3, self.torus.width))
        ]
        return self.torus.kernel(blocks, sides[0], sides[1])

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


def structure_on(torus: Torus | None) -> Structure:
    """Kernels on the torus, matrices without one."""
    return DenseStructure() if torus is None else TorusStructure(torus)
