"""What an export is: files that another runtime runs, and how that runtime runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from certlip.blocks import (
    Block,
    ConvEquilibrium,
    Equilibrium,
    Network,
    PaddedEquilibrium,
)
from certlip.errors import UnsupportedError

DTYPES = ("float64", "float32")
IMPLICIT = (Equilibrium, ConvEquilibrium, PaddedEquilibrium)


class Exporter(ABC):
    """Writes explicit networks in one format. An exporter holds no state."""

    name: ClassVar[str]
    """Name on the command line."""
    suffix: ClassVar[str]
    """End of the file that is named by the user; others lie beside it."""
    dtype: ClassVar[str]
    """The numbers that are written unless others are asked for."""

    @abstractmethod
    def render(self, network: Network, dtype: str) -> dict[str, bytes]:
        """The files, by their suffixes.

        Law: the same network gives the same bytes, and nothing of certlip is needed to run them.

        Raises:
            UnsupportedError: a block without a form in this format.
            InputError: a package is missing.
        """

    @abstractmethod
    def run(self, path: Path, x: np.ndarray, dtype: str) -> tuple[np.ndarray, str]:
        """What a runtime of others makes of rows x (n, d), and the name of that runtime.

        Args:
            path: The file that ends with `suffix`, the others beside it.
        """


def require_explicit(network: Network) -> None:
    """Raises an `UnsupportedError` if some block is an equilibrium."""
    for k, block in enumerate(network.blocks):
        if isinstance(block, IMPLICIT):
            raise UnsupportedError(
                f"block{k} ({block.kind}): its output is a fixed point, which a feed-forward file can "
                "only approximate by some number of steps; export the explicit network it came from"
            )


def without_form(block: Block, name: str) -> UnsupportedError:
    """A block that a format has no form for."""
    return UnsupportedError(f"{block.kind} blocks have no form in the format {name}")
