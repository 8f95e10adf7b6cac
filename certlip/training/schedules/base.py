"""What a schedule is: a factor on the learning rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Schedule(ABC):
    """A frozen dataclass; its fields are its options in a recipe."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, share: float) -> float:
        """The factor in [0, 1] when that share of training is done.

        Args:
            share: In (0, 1]; step k of n steps, counted from 1, trains at k/n.
        """
