"""A feed-forward network as one chain:  y = A_K σ(A_{K−1} σ(… σ(A_0 x + b_0) …) + b_{K−1}) + b_K.

With z_k, k = 1 … K, the hidden states it is the equilibrium block with W strictly sub-diagonal (blocks
A_1 … A_{K−1}), U = [A_0; 0 …], G = [0 … A_K]: well-posed without any condition. σ is elementwise with
slopes in [0, 1], its kinds do not matter, nor do the biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from certlip.blocks import Activation, Affine, Block, Normalize, dense_form
from certlip.errors import InputError, UnsupportedError
from certlip.linalg.rigorous.ball import Ball, composed, diagonal


@dataclass(frozen=True)
class Chain:
    """The matrices A_0 (w_1, p), A_1 (w_2, w_1), …, A_K (q, w_K), each with its entrywise error.

    What is proven of a chain holds for every choice of matrices in these balls.

    Raises:
        InputError: no matrix, or shapes that do not follow one another.
    """

    A: tuple[Ball, ...]

    def __post_init__(self) -> None:
        if not self.A:
            raise InputError("a chain needs at least one matrix")
        for k, (before, after) in enumerate(zip(self.A, self.A[1:], strict=False)):
            if before.shape[0] != after.shape[1]:
                raise InputError(
                    f"A_{k} of shape {before.shape} is followed by A_{k + 1} of shape {after.shape}"
                )

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Chain:
        """The chain of [normalize] affine (activation affine)*, in any order of these kinds.

        Affine blocks in a row are multiplied, and normalisation is divided by, with the rounding error
        bounded; activations in a row are one, as slopes in [0, 1] multiply to slopes in [0, 1].

        Raises:
            UnsupportedError: a block of another kind, with its number.
        """
        layers: list[list[Ball]] = [[]]  # the factors of A_0, A_1, … in the order of application
        hidden: list[int] = []
        for k, block in enumerate(blocks):
            for part in dense_form(block):
                if isinstance(part, Affine):
                    layers[-1].append(Ball(part.W.numpy()))
                elif isinstance(part, Normalize):
                    layers[-1].append(Ball(np.ones(part.in_width)) / part.std.numpy())
                elif isinstance(part, Activation):
                    if layers[-1] or len(layers) == 1:
                        layers.append([])
                        hidden.append(part.in_width)
                else:
                    raise UnsupportedError(
                        f"block {k} ({block.kind}): a chain is made of affine and activation blocks"
                    )
        last = blocks[-1].out_width if blocks else 0
        widths = [*hidden, last]
        products = (
            reduce(lambda A, B: composed(B, A), factors or [Ball(np.ones(width))])
            for factors, width in zip(layers, widths, strict=True)
        )
        return cls(tuple(A if A.mid.ndim == 2 else diagonal(A) for A in products))

    @property
    def widths(self) -> list[int]:
        """w_1 … w_K of the hidden states."""
        return [A.shape[0] for A in self.A[:-1]]

    @property
    def n(self) -> int:
        """The number of hidden states, and of multipliers."""
        return sum(self.widths)

    @property
    def depth(self) -> int:
        """K, the number of hidden layers."""
        return len(self.A) - 1

    def with_rows(self, rows: np.ndarray) -> Chain:
        """The chain of x ↦ rows·y, rows (·, q): differences of logits in place of all logits."""
        rows = np.asarray(rows, dtype=np.float64)
        q = self.A[-1].shape[0]
        if rows.ndim != 2 or rows.shape[1] != q:
            raise InputError(f"rows of shape {rows.shape}: expected (·, {q})")
        return Chain((*self.A[:-1], Ball(rows) @ self.A[-1]))

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Values per hidden state (n,) as one array per layer."""
        return np.split(values, np.cumsum(self.widths)[:-1]) if self.widths else []
