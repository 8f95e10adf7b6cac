"""A rung of the ladder of Lipschitz bounds: a way to bound some blocks, dearer than the one below."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from certlip.blocks import Network
from certlip.linalg.rigorous import UpperBound
from certlip.linalg.rigorous.bounds import product


@dataclass(frozen=True)
class Stretch:
    """Consecutive blocks `start` … `stop` − 1 that are bounded together; None where nothing was proven."""

    start: int
    stop: int
    lip: UpperBound | None
    seconds: float
    method: str = ""
    reason: str = ""
    estimate: float | None = None  # what a solver believes to be the least provable L


def _silent(text: str) -> None:
    del text


@dataclass
class Budget:
    """What may be spent: time until `deadline` (`time.monotonic`), and bytes of memory."""

    deadline: float | None = None
    memory: float = float("inf")
    tol: float = 1e-6
    device: str = "cpu"
    say: Callable[[str], None] = _silent

    def left(self) -> float | None:
        """Seconds left, None without a limit."""
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)

    def over(self) -> bool:
        return self.left() == 0.0

    def short_of(self, need: float) -> str | None:
        """Why so many bytes are too many, or None."""
        if need <= self.memory:
            return None
        return f"needs about {need / 2**30:.1f} GiB, {self.memory / 2**30:.1f} GiB are free"


class Best:
    """The best proven bounds so far, of every stretch that any rung has bounded."""

    def __init__(self) -> None:
        self.proven: dict[tuple[int, int], UpperBound] = {}
        self.well_posed: set[int] = set()

    def add(self, stretch: Stretch) -> None:
        key = (stretch.start, stretch.stop)
        if stretch.lip is None:
            return
        if key not in self.proven or stretch.lip.value < self.proven[key].value:
            self.proven[key] = stretch.lip

    def of(self, start: int, stop: int) -> UpperBound | None:
        """The least product of bounds that covers blocks `start` … `stop` − 1, None if some have none."""
        cheapest: dict[int, list[UpperBound]] = {start: []}
        for end in range(start + 1, stop + 1):
            options = [
                [*cheapest[a], lip]
                for (a, b), lip in self.proven.items()
                if b == end and a in cheapest
            ]
            finite = [(value, k) for k, o in enumerate(options) if (value := _value(o)) is not None]
            if finite:
                cheapest[end] = options[min(finite)[1]]
        return product(cheapest[stop]) if stop in cheapest else None


class Rung(ABC):
    """One way to bound stretches of a network."""

    name: ClassVar[str]

    @abstractmethod
    def climb(self, network: Network, best: Best, budget: Budget) -> list[Stretch]:
        """Bounds of stretches; what cannot be bounded is left out, what failed says why."""


def _value(bounds: list[UpperBound]) -> float | None:
    """The product as a number, None where it overflows."""
    try:
        return product(bounds).value
    except ValueError:
        return None
