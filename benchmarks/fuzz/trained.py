"""Trained networks and their own data: the demo's SLL network and its fine-tuned LBEN on the digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from benchmarks.fuzz.chance import Chance
from benchmarks.models import trained
from certlip.blocks import Network
from certlip.data import load


@cache
def _digits() -> np.ndarray:
    return load("digits", split="test").x


def digits(chance: Chance, name: str) -> Network:
    """One of the two; `chance` is left with images to start from."""
    chance.inputs = _digits()
    return trained()[name]


TRAINED: dict[str, Callable[[Chance], Network]] = {
    "digits-sll": lambda chance: digits(chance, "sll"),
    "digits-lben": lambda chance: digits(chance, "lben"),
}
