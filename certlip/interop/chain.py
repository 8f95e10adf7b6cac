"""The blocks of a chain of steps, the shape between them, and where each step comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from certlip.blocks import Block, Network
from certlip.blocks.network import WIDEST_NETWORK
from certlip.errors import InputError, UnsupportedError
from certlip.interop.kernels import checked_shape
from certlip.interop.steps import Step


class Chain:
    """Takes steps one by one and gives their blocks.

    Args:
        shape: Of one input without the batch axis, such as (c, H, W). None: the first dense map tells.
    """

    def __init__(self, shape: Sequence[int] | None = None) -> None:
        self._shape = None if shape is None else checked_shape(shape)
        self._steps: list[tuple[str, Step]] = []
        self._where = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what comes out so far.

        Raises:
            InputError: not known.
        """
        if self._shape is None:
            raise InputError("the shape of the input is not known; give it as input_shape")
        return self._shape

    @property
    def known(self) -> bool:
        """Whether the shape is known."""
        return self._shape is not None

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape, of images.

        Raises:
            InputError: no images, or not known.
        """
        if len(self.shape) != 3:
            raise InputError(
                f"input of shape {self.shape}: expected images (channels, rows, columns)"
            )
        c, height, width = self.shape
        return c, height, width

    def network(self, history: Iterable[dict[str, Any]] = ()) -> Network:
        """All blocks.

        Raises:
            InputError: there are none.
        """
        blocks: list[Block] = []
        for where, step in self._steps:
            with self.at(where):
                blocks.extend(step.blocks())
        return Network(blocks, history)

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        """What is added, and what goes wrong, belongs to this layer or operator."""
        self._where, before = where, self._where
        try:
            yield
        except (InputError, UnsupportedError) as error:
            raise type(error)(f"{where}: {error}") from None
        finally:
            self._where = before

    def _append(self, step: Step, shape: Sequence[int]) -> None:
        numbers = math.prod(shape)
        if numbers > WIDEST_NETWORK:
            raise InputError(f"output of shape {tuple(shape)}: expected at most {WIDEST_NETWORK:,}")
        before = self._steps[-1] if self._steps else None
        joined = None if before is None else before[1].followed_by(step)
        if before is None or joined is None:
            self._steps.append((self._where, step))
        else:
            self._steps[-1] = (before[0], joined)
        self._shape = tuple(shape)

    def _spread(self, value: Tensor | float) -> Tensor:
        value = torch.as_tensor(value, dtype=torch.float64)
        while value.ndim > len(self.shape) and value.shape[0] == 1:
            value = value[0]  # the axis of the batch
        try:
            return value.broadcast_to(self.shape).contiguous()
        except RuntimeError:
            raise InputError(
                f"input of shape {self.shape}: constants of shape {tuple(value.shape)} do not fit"
            ) from None
