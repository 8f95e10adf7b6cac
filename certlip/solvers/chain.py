"""A triangular equilibrium block read as the explicit chain it comes from.

In (14) every row of W is P_n G_{<n}: hidden block n reads the running sum y = Σ_{j<n} G_j z_j alone. Then

    z_n = σ(P_n y + U_n x + b_n),   y ← y + G_n z_n,

costs what the residual network costs, instead of one product with every earlier block, and ends with
y = Gz.
The factors are found in the stored numbers and compared with all of W; nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from certlip.blocks import ConvEquilibrium, Equilibrium, Sigma
from certlip.linalg.structure import structure_on
from certlip.linalg.triangular import strict_lower_blocks

#: The largest entry of W_{nj} − P_n G_j relative to that of W: rounding of the stored products.
AGREEMENT = 1e-12


Map = Callable[[Tensor], Tensor]


class Step(NamedTuple):
    """One hidden block; a map that is zero is None."""

    P: Map | None
    U: Map | None
    b: Tensor
    sigma: Sigma
    G: Map


class Chain:
    """The steps of one block, ready to run; differentiable by autograd like any explicit network."""

    def __init__(self, steps: list[Step], b_y: Tensor) -> None:
        self.steps, self.b_y = steps, b_y

    def __call__(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output (batch, q) for x (batch, d), and the hidden blocks z_n."""
        y: Tensor | None = None
        states: list[Tensor] = []
        for step in self.steps:
            v = step.b
            if step.U is not None:
                v = step.U(x) + v
            if step.P is not None and y is not None:
                v = step.P(y) + v
            z = step.sigma.forward(v.expand(x.shape[0], -1))
            states.append(z.detach())
            y = step.G(z) if y is None else y + step.G(z)
        assert y is not None
        return y + self.b_y, states


def chain_of(
    block: Equilibrium | ConvEquilibrium, dtype: torch.dtype, device: str | torch.device
) -> Chain | None:
    """The chain of a block whose first hidden block is its running sum (G_0 = I), else None."""
    s = structure_on(block.torus if isinstance(block, ConvEquilibrium) else None)
    pattern = block.W.abs().reshape(block.n, block.n, -1).amax(dim=2).numpy()
    parts = strict_lower_blocks(pattern)
    if parts is None or len(parts) < 2 or not _is_identity(block.G[:, parts[0]]):
        return None
    P = [_trimmed(block.W[B, parts[0]]) for B in parts]
    G = [_trimmed(block.G[:, B]) for B in parts]
    allowed = AGREEMENT * float(block.W.abs().max())
    for n, B in enumerate(parts):
        for j in range(1, n):
            found = s.grid([[s.product(P[n], G[j])], [block.W[B, parts[j]]]])
            product, stored = found.split(B.stop - B.start)
            if float((product - stored).abs().max()) > allowed:
                return None

    def moved(array: Tensor) -> Tensor:
        return array.to(device=device, dtype=dtype)

    def operator(array: Tensor) -> Map | None:
        array = _trimmed(array)
        if _is_identity(array):
            return _same
        return s.map(moved(array)).apply if bool(array.any()) else None

    steps = []
    for B, P_n, G_n in zip(parts, P, G, strict=True):
        b = s.spread(moved(block.b_z[B]))
        sigma = block.sigma.part(B.start * s.repeat, B.stop * s.repeat)
        out = operator(G_n) or s.map(moved(G_n)).apply
        steps.append(Step(operator(P_n), operator(block.U[B]), b, sigma, out))
    return Chain(steps, s.spread(moved(block.b_y)))


def _same(x: Tensor) -> Tensor:
    return x


def _is_identity(array: Tensor) -> bool:
    """Whether a matrix, or a kernel, is exactly the identity."""
    array = _trimmed(array)
    if array.shape[0] != array.shape[1] or array[0, 0].numel() != 1:
        return False
    return torch.equal(array.reshape(array.shape[:2]), torch.eye(len(array), dtype=array.dtype))


def _trimmed(array: Tensor) -> Tensor:
    """A kernel without the border of zeros around its anchor; a matrix as it is."""
    for axis in range(2, array.ndim):
        side = array.shape[axis]
        used = array.movedim(axis, 0).reshape(side, -1).any(dim=1).nonzero()[:, 0]
        middle = (side - 1) // 2
        before = max(middle - int(used[0]), 0) if len(used) else 0
        after = max(int(used[-1]) - middle, 0) if len(used) else 0
        # the anchor of k taps is (k − 1)//2: as many after it as before, or one more
        after = max(after, before)
        before = max(before, after - 1)
        array = array.narrow(axis, middle - before, before + after + 1)
    return array
