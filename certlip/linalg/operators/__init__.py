"""Linear operators by structure, with one interface: apply, adjoint, resolvent, blocks."""

from __future__ import annotations

from torch import Tensor

from certlip.linalg.operators.base import Operator as Operator
from certlip.linalg.operators.circulant import Circulant as Circulant
from certlip.linalg.operators.dense import Dense as Dense
from certlip.linalg.operators.lower import BlockLower as BlockLower
from certlip.linalg.operators.stencil import Stencil as Stencil
from certlip.linalg.torus import Torus

#: Up to this many taps a convolution is computed directly rather than by frequencies.
DIRECT_TAPS = 49


def convolution(kernel: Tensor, torus: Torus, padding: str = "circular") -> Operator:
    """The convolution with a kernel (o, i, kh, kw), in the form that is evaluated fastest."""
    if padding == "zero" or kernel.shape[2] * kernel.shape[3] <= DIRECT_TAPS:
        return Stencil(kernel, torus, padding)
    return Circulant.of(kernel, torus)


def as_operator(W: Tensor | Operator) -> Operator:
    """A matrix as an operator of the structure it has in storage; an operator as itself.

    A matrix with a graph stays dense: its zeros have gradients too.
    """
    if isinstance(W, Operator):
        return W
    return (None if W.requires_grad else BlockLower.of(W)) or Dense(W)
