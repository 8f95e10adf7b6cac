"""A whole network as the one equilibrium of equation (1) that it is, for one LMI over all of it.

Each nonlinear block adds its states to z, and what the blocks between them pass on is kept as Gz + Hx:

    affine A:            G ← AG,  H ← AH
    activation:          new states read Gz + Hx and are passed on
    equilibrium W', U', G':  new states read W'z' + U'(Gz + Hx), and G'z' is passed on
    residual x − 2VDσ(Vᵀx + b): new states read Vᵀ(Gz + Hx), and (G, −2VD), H is passed on

Products are enclosed, not rounded: the conditions of these forms are about the exact composition.
A block that would pass x on beside its states turns it into states with the identity for σ, as in (14).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from certlip.blocks import Activation, Affine, Block, Equilibrium, Normalize, Residual
from certlip.errors import UnsupportedError
from certlip.linalg.rigorous.ball import Ball, composed, diagonal, joined
from certlip.lmi.forms import Forms

#: Bytes per entry of the order-n matrices that composing, solving and proving hold at once, and of those
#: that read the input or give the output.
BYTES, OUTER_BYTES = 80 * 8, 20 * 8


class Whole:
    """Grows block by block; `forms` is the result."""

    def __init__(self, width: int) -> None:
        self.W, self.U = _zeros(0, 0), _zeros(0, width)
        self.G: Ball = _zeros(width, 0)
        # with one axis while it is diagonal; None where x is passed on no more
        self.H: Ball | None = Ball(np.ones(width))

    @property
    def n(self) -> int:
        return self.W.shape[0]

    def add(self, block: Block) -> None:
        """Appends a block.

        Raises:
            UnsupportedError: a kind that is not dense, or that no state of (1) can express.
        """
        if isinstance(block, Normalize):
            self._linear(Ball(np.ones(block.in_width)) / block.std.numpy())
        elif isinstance(block, Affine):
            self._linear(Ball(block.W.numpy()))
        elif isinstance(block, Activation):
            self._read(None, None)
        elif isinstance(block, Equilibrium):
            self._read(Ball(block.W.numpy()), Ball(block.U.numpy()))
            self._linear(Ball(block.G.numpy()))
        elif isinstance(block, Residual):
            self._residual(block)
        else:
            raise UnsupportedError(f"{block.kind} block: no part of one dense equilibrium")

    def forms(self) -> Forms:
        """The matrices of (1).

        Raises:
            UnsupportedError: nothing is nonlinear.
        """
        if self.n == 0:
            raise UnsupportedError("nothing in the network is nonlinear")
        if self.H is not None:
            self._read(None, None)  # x, with σ the identity
        return Forms(self.W, self.U, self.G, self.n)

    def _linear(self, A: Ball) -> None:
        self.G = composed(A, self.G)
        self.H = None if self.H is None else composed(A, self.H)

    def _read(self, W: Ball | None, U: Ball | None) -> None:
        """New states that read U(Gz + Hx) and, with W, each other; they alone are passed on."""
        into_z = self.G if U is None else U @ self.G
        m = into_z.shape[0]
        into_x = _zeros(m, self.U.shape[1])
        if self.H is not None:
            into_x = self.H if U is None else composed(U, self.H)
            into_x = into_x if into_x.mid.ndim == 2 else diagonal(into_x)
        own = _zeros(m, m) if W is None else W
        above = joined(self.W, _zeros(self.n, m), axis=1)
        self.W = joined(above, joined(into_z, own, axis=1), axis=0)
        self.U = joined(self.U, into_x, axis=0)
        before = self.n - m
        self.G = joined(_zeros(m, before), Ball(np.eye(m)), axis=1)
        self.H = None

    def _residual(self, block: Residual) -> None:
        if self.H is not None:
            self._read(None, None)  # x, or what has become of it, as states with σ the identity
        passed, V = self.G, Ball(block.W.numpy())
        self._linear(V.T)
        self._read(None, None)
        self.G = joined(passed, V * Ball(-2.0 * block.D.numpy()[None, :]), axis=1)


def whole(blocks: Sequence[Block]) -> Forms:
    """The matrices W, U, G of all blocks together, as balls.

    Raises:
        UnsupportedError: a block that is not dense, or nothing nonlinear.
    """
    grown = Whole(blocks[0].in_width)
    for block in blocks:
        grown.add(block)
    return grown.forms()


def states(blocks: Sequence[Block]) -> int:
    """How many states `whole` would have, before anything is computed."""
    count = 0
    for block in blocks:
        if isinstance(block, Residual):
            count += block.W.shape[1] + (0 if count else block.in_width)
        elif isinstance(block, Equilibrium):
            count += block.n
        elif isinstance(block, Activation):
            count += block.in_width
    return count


def _zeros(rows: int, columns: int) -> Ball:
    return Ball(np.zeros((rows, columns)))
