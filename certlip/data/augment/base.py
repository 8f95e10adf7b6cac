"""What an augmentation is: a function of images and of random numbers that it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Augmentation(ABC):
    """A frozen dataclass; its fields are its options in a recipe.

    Law: image i depends on x[i] and u[i] alone. The result of a batch is therefore that of its parts,
    whoever computes them, and the same random numbers give the same images.
    """

    name: ClassVar[str]
    numbers: ClassVar[int]
    """Random numbers that one image needs."""

    @abstractmethod
    def apply(self, x: Tensor, u: Tensor) -> Tensor:
        """The changed images, (n, c, h, w).

        Args:
            x: Images in raw units, pixels in [0, 1], (n, c, h, w) on any device.
            u: Uniform numbers in [0, 1), (n, numbers), on the CPU.

        Raises:
            InputError: images that it is not for.
        """
