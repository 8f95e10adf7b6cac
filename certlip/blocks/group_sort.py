"""MaxMin and GroupSort: 1-Lipschitz activations that are not elementwise."""

from __future__ import annotations

from dataclasses import dataclass

from certlip.blocks.base import Block, check_counts
from certlip.errors import InputError


@dataclass(frozen=True, eq=False)
class GroupSort(Block):
    """Sorts each group of `group` coordinates from the largest down; `group` = 2 is MaxMin.

    Coordinates of one group lie `stride` apart: 1 for neurons, the number of pixels for the channels of an
    image. Sorting is 1-Lipschitz in every ℓp norm but no gradient of a convex function of each
    coordinate, so it stands between blocks, never inside of an equilibrium. Source: Anil, Lucas &
    Grosse, ICML 2019.
    """

    d: int
    group: int
    stride: int

    kind = "group-sort"
    plain_names = ("d", "group", "stride")

    def __post_init__(self) -> None:
        check_counts(self.kind, d=self.d, group=self.group, stride=self.stride)
        if self.d % (self.group * self.stride):
            raise InputError(
                f"group-sort block: groups of {self.group} with stride {self.stride} do not divide "
                f"{self.d} coordinates"
            )

    @property
    def in_width(self) -> int:
        return self.d

    @property
    def out_width(self) -> int:
        return self.d

    def describe(self) -> str:
        return f"{self.d}, groups of {self.group}"
