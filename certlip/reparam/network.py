"""Finds the part of a network that a theorem applies to and rebuilds it as one LBEN."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.blocks import Affine, Block, Equilibrium, Network, Origin, Residual
from certlip.equilibrium import LBEN
from certlip.errors import UnsupportedError
from certlip.linalg.rigorous import spectral_norm
from certlip.lmi.analytic import multipliers
from certlip.reparam.lben import lben_from_equilibrium
from certlip.reparam.sll import equilibrium_from_residuals


@dataclass(frozen=True)
class Reparametrized:
    """Fixed blocks before, the trainable LBEN, fixed blocks after."""

    before: tuple[Block, ...]
    lben: LBEN
    after: tuple[Block, ...]

    def freeze(self) -> Network:
        return Network([*self.before, self.lben.freeze(), *self.after])


def reparametrize(network: Network) -> Reparametrized:
    """The network with its residual chain (or its one equilibrium block) as an LBEN.

    The function is the same up to float64 rounding and so is the prescribed Lipschitz bound. An
    affine block right after the chain becomes part of G, with L = its proven norm.

    Raises:
        UnsupportedError: there is no such part, or more than one.
        RejectedError: its multipliers do not satisfy (10).
    """
    before, block, lam, lip, after = _split(network)
    return Reparametrized(before, lben_from_equilibrium(block, lam, lip), after)


def equilibrium_from_network(network: Network) -> Network:
    """The same network with its residual chain as one equilibrium block (14), W triangular."""
    before, block, lam, lip, after = _split(network)
    origin = Origin("lben", {"lip": lip}, {"psi": 1.0 / lam})
    new = Equilibrium(block.W, block.U, block.G, block.b_z, block.b_y, block.sigma, origin)
    return Network([*before, new, *after], network.history)


def _split(
    network: Network,
) -> tuple[tuple[Block, ...], Equilibrium, Tensor, float, tuple[Block, ...]]:
    blocks = network.blocks
    residual = [k for k, block in enumerate(blocks) if isinstance(block, Residual)]
    implicit = [k for k, block in enumerate(blocks) if isinstance(block, Equilibrium)]
    if len(implicit) == 1 and not residual:
        k = implicit[0]
        block = blocks[k]
        assert isinstance(block, Equilibrium)
        guess = multipliers(block)
        lam = torch.from_numpy(guess.lam.copy())
        return blocks[:k], block, lam, guess.lip, blocks[k + 1 :]
    if implicit or not residual or residual != list(range(residual[0], residual[-1] + 1)):
        kinds = ", ".join(block.kind for block in blocks)
        raise UnsupportedError(
            f"reparametrization needs one chain of residual blocks or one equilibrium, got: {kinds}"
        )
    start, stop = residual[0], residual[-1] + 1
    block, lam = equilibrium_from_residuals([b for b in blocks if isinstance(b, Residual)])
    lip, after = 1.0, blocks[stop:]
    if after and isinstance(after[0], Affine):
        # y = A(Gz + b_y) + b: (10) holds with AG, L = ‖A‖ and LΛ, because AᵀA ⪯ L²I
        A, b = after[0].W, after[0].b
        lip = spectral_norm(A.numpy()).value
        lam = lip * lam
        block = Equilibrium(
            block.W, block.U, A @ block.G, block.b_z, A @ block.b_y + b, block.sigma
        )
        after = after[1:]
    return blocks[:start], block, lam, lip, after
