"""Rebuilds a network, or the part of it that a theorem applies to, as one LBEN."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    Equilibrium,
    Network,
    Normalize,
    Origin,
    Residual,
)
from certlip.equilibrium import LBEN
from certlip.errors import UnsupportedError
from certlip.lmi.analytic import multipliers
from certlip.reparam.compose import (
    Proven,
    activation_alone,
    affine_after,
    affine_before,
    compose,
)
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
    """The network as an LBEN: same function up to float64 rounding, same prescribed Lipschitz bound.

    SLL and CPL (Theorem 3.5), AOL (D.1), Sandwich (D.2), MonDEQ and G-MonDEQ (3.2, 3.4), and any chain of
    affine, activation, residual and equilibrium blocks. Normalisation in front stays a block of its own.

    Raises:
        UnsupportedError: nothing in the network is nonlinear.
        RejectedError: the multipliers do not satisfy (10).
        InconclusiveError: an equilibrium block of unknown origin.
    """
    before, proven = _whole(network)
    return Reparametrized(before, lben_from_equilibrium(proven.block, proven.lam, proven.lip), ())


def equilibrium_from_network(network: Network) -> Network:
    """The same network as one equilibrium block, with its multipliers as origin.

    W is strictly block lower-triangular where the network is explicit.
    """
    before, proven = _whole(network)
    origin = Origin("lben", {"lip": proven.lip}, {"psi": 1.0 / proven.lam})
    b = proven.block
    new = Equilibrium(b.W, b.U, b.G, b.b_z, b.b_y, b.sigma, origin)
    return Network([*before, new], network.history)


def _whole(network: Network) -> tuple[tuple[Block, ...], Proven]:
    blocks = list(network.blocks)
    before: list[Block] = []
    while blocks and isinstance(blocks[0], Normalize):
        before.append(blocks.pop(0))
    if not any(isinstance(block, Activation | Residual | Equilibrium) for block in blocks):
        kinds = ", ".join(block.kind for block in network.blocks)
        raise UnsupportedError(f"reparametrization needs a nonlinear block, got: {kinds}")
    proven: Proven | None = None
    waiting: Affine | None = None  # an affine block that the next nonlinear one will take in
    while blocks:
        block = blocks.pop(0)
        if isinstance(block, Affine):
            waiting = block if waiting is None else _product(waiting, block)
            continue
        part = _part(block, blocks)
        if waiting is not None:
            part, waiting = affine_before(waiting, part), None
        proven = part if proven is None else compose(proven, part)
    assert proven is not None
    return tuple(before), proven if waiting is None else affine_after(proven, waiting)


def _part(block: Block, rest: list[Block]) -> Proven:
    """The nonlinear block, with the residual blocks that follow it, as an equilibrium."""
    if isinstance(block, Residual):
        chain = [block]
        while rest and isinstance(rest[0], Residual):
            following = rest.pop(0)
            assert isinstance(following, Residual)
            chain.append(following)
        return Proven(*equilibrium_from_residuals(chain), 1.0)
    if isinstance(block, Activation):
        return activation_alone(block.sigma)
    if isinstance(block, Equilibrium):
        guess = multipliers(block)
        return Proven(block, torch.from_numpy(guess.lam.copy()), guess.lip)
    raise UnsupportedError(f"reparametrization of a {block.kind} block in the middle of a network")


def _product(first: Affine, second: Affine) -> Affine:
    return Affine(second.W @ first.W, second.W @ first.b + second.b)
