"""Zeros appended or coordinates left out: zero padding of channels, and the truncation head."""

from __future__ import annotations

from dataclasses import dataclass

from certlip.blocks.base import Block, check_counts


@dataclass(frozen=True, eq=False)
class Resize(Block):
    """The first min(d, q) of d coordinates, followed by zeros up to q. Lipschitz constant 1.

    An image is flattened channel by channel, so that whole channels are appended or left out.
    """

    d: int
    q: int

    kind = "resize"
    plain_names = ("d", "q")

    def __post_init__(self) -> None:
        check_counts(self.kind, d=self.d, q=self.q)

    @property
    def in_width(self) -> int:
        return self.d

    @property
    def out_width(self) -> int:
        return self.q
