"""The enclosure of a whole network, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Equilibrium,
    GroupSort,
    Network,
    Normalize,
    PaddedEquilibrium,
    Pooling,
    Residual,
    Resize,
    Window,
)
from certlip.certify.enclosure.base import Local
from certlip.certify.enclosure.conv_equilibrium import ConvEquilibriumEncloser
from certlip.certify.enclosure.equilibrium import EquilibriumEncloser
from certlip.certify.enclosure.explicit import activation, affine, normalize, residual
from certlip.certify.enclosure.image import (
    conv_residual,
    convolution,
    group_sort,
    pooling,
    resize,
    window,
)
from certlip.certify.enclosure.padded_equilibrium import PaddedEquilibriumEncloser
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import require_ieee
from certlip.linalg.rigorous.rounding import norm_up, up
from certlip.lmi import BlockProof, NetworkProof
from certlip.lmi.slack import SLACK
from certlip.solvers import Evaluator

#: Rows that go through the network together. A matrix product may round differently for another
#: number of rows, so batches always have this many (the last one is padded): a limit on the number of
#: samples changes no result. Another order may change the last bits of a guess, and with it those of
#: a radius: some libraries round the rows of a product differently by their position.
ROWS = 256

LOCAL: dict[type[Block], Callable[..., Local]] = {
    Normalize: normalize,
    Pooling: pooling,
    Resize: resize,
    Window: window,
    GroupSort: group_sort,
}

#: Enclosures that are built once from a block and its proof; those of equilibria also take a guess.
PREPARED: dict[type[Block], Callable[..., Callable[..., Local]]] = {
    Affine: affine,
    Activation: activation,
    Residual: residual,
    Convolution: convolution,
    ConvResidual: conv_residual,
    Equilibrium: EquilibriumEncloser,
    ConvEquilibrium: ConvEquilibriumEncloser,
    PaddedEquilibrium: PaddedEquilibriumEncloser,
}


@dataclass(frozen=True)
class Enclosure:
    """Logits y (batch, classes) with ‖y − f(x)‖₂ ≤ error (batch,), and the states on the way.

    `states[k]` (batch, n) is the guess that equilibrium block k was verified with, `residual` (batch,)
    the largest proven bound of a residual, 0 for explicit networks. `norms[:, k]` (batch, blocks) bounds
    the norm of the true input of block k.
    """

    y: np.ndarray
    error: np.ndarray
    states: dict[int, np.ndarray]
    residual: np.ndarray
    norms: np.ndarray


def _local(block: Block, own: BlockProof) -> Callable[..., Local]:
    if type(block) in PREPARED:
        return PREPARED[type(block)](block, own)
    return partial(LOCAL[type(block)], block)


class Encloser:
    """Encloses the logits of one proven network.

    Args:
        network: The frozen network.
        proof: Its proof, which carries the Lipschitz bounds and monotonicity margins used here.
        device: Where the guesses of equilibrium states are computed; the verification is float64
            on the CPU whatever this is.

    Raises:
        InconclusiveError: a norm that the enclosure needs is no finite double.
    """

    def __init__(self, network: Network, proof: NetworkProof, *, device: str = "cpu") -> None:
        require_ieee()
        self.network = network
        self.device = device
        self.guess = Evaluator(network, device=device, compact=False)
        self.after = [proof.after(k).value for k in range(len(network.blocks))]
        self.lip = [own.lip.value for own in proof.blocks]
        self.local = []
        for k, (block, own) in enumerate(zip(network.blocks, proof.blocks, strict=True)):
            try:
                self.local.append(_local(block, own))
            except ValueError as error:  # a norm above the largest double
                raise InconclusiveError(f"block {k} ({block.kind}): {error}") from None

    def __call__(self, x: np.ndarray) -> Enclosure:
        """Enclosure of the logits of x (n, d), exact doubles in raw units, for any n ≤ ROWS."""
        n = x.shape[0]
        if n > ROWS:
            raise ValueError(f"{n} rows: expected at most {ROWS}")
        y = np.concatenate([x, np.zeros((ROWS - n, x.shape[1]))]) if n < ROWS else x
        # an input that is no point is off by anything, though a block may leave it out
        error, worst = np.where(np.isfinite(y).all(axis=1), 0.0, np.inf), np.zeros(ROWS)
        states: dict[int, np.ndarray] = {}
        norms, here = [], error  # ‖y − true y‖ ≤ here
        for k, block in enumerate(self.network.blocks):
            norms.append(up(norm_up(y) + here))
            local = self._local(k, block, y)
            y = local.y
            here = up(up(self.lip[k] * here) + local.delta)
            error = up(error + up(self.after[k] * (SLACK * local.delta)))
            if local.z is not None and local.residual is not None:
                states[k] = local.z[:n]
                worst = np.maximum(worst, local.residual)
        return Enclosure(y[:n], error[:n], states, worst[:n], np.stack(norms, axis=1)[:n])

    def _local(self, k: int, block: Block, x: np.ndarray) -> Local:
        if not isinstance(block, Equilibrium | ConvEquilibrium | PaddedEquilibrium):
            return self.local[k](x)
        # a row that overflowed (NaN too) would only keep the solver busy: any guess will do there
        sane = np.where((np.abs(x) < 1e100).all(axis=1, keepdims=True), x, 0.0)
        with torch.no_grad():
            _, solution = self.guess.block(k, torch.from_numpy(sane).to(self.device))
        assert solution is not None
        return self.local[k](x, solution.z.cpu().numpy())
