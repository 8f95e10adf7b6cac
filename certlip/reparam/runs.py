"""Splits a network into runs that one theorem can bring to one equilibrium block, and what lies between.

A run is a chain of linear, activation, residual and equilibrium blocks of one structure: matrices, or
circular convolutions on one torus. Normalisation, pooling, sorting and convolutions with zero
padding stand between runs and stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Equilibrium,
    Network,
    Residual,
    Resize,
)
from certlip.linalg.structure import Structure, structure_on
from certlip.linalg.torus import Torus
from certlip.lmi.analytic import multipliers
from certlip.reparam.compose import (
    activation_alone,
    compose,
    linear_after,
    linear_before,
    linear_product,
)
from certlip.reparam.proven import Proven
from certlip.reparam.residuals import equilibrium_from_residuals

#: Entries of the matrix of a resize block that is taken into a dense run.
LARGEST_RESIZE = 2**24

Key = Torus | None


def runs(network: Network) -> list[Block | Proven]:
    """The blocks that stay, and a `Proven` for every run with something nonlinear in it.

    Raises:
        InconclusiveError: an equilibrium block of unknown origin.
    """
    result: list[Block | Proven] = []
    waiting: list[Block] = []
    key: Key = None
    for block in network.blocks:
        belongs, own = _key(block, key if waiting else None)
        if waiting and not (belongs and own == key):
            result.extend(_run(structure_on(key), waiting))
            waiting = []
        if belongs:
            key = own
            waiting.append(block)
        else:
            result.append(block)
    if waiting:
        result.extend(_run(structure_on(key), waiting))
    return result


def _key(block: Block, present: Key) -> tuple[bool, Key]:
    """Whether the block belongs to a run, and the torus of its structure, None for matrices.

    An activation belongs to the run that it follows.
    """
    if isinstance(block, Affine | Residual | Equilibrium):
        return True, None
    if isinstance(block, Resize) and block.d * block.q <= LARGEST_RESIZE:
        return True, None
    if isinstance(block, ConvEquilibrium):
        return True, block.torus
    if isinstance(block, Convolution | ConvResidual) and block.padding == "circular":
        return True, block.torus
    if isinstance(block, Activation):
        whole = present is not None and _whole_channels(block, present)
        return True, present if whole else None
    return False, None


def _whole_channels(block: Activation, torus: Torus) -> bool:
    return all(count % torus.pixels == 0 for _, count in block.sigma.segments)


def _run(s: Structure, blocks: Sequence[Block]) -> list[Block | Proven]:
    """The run as one equilibrium; as it is where it is linear, or activations and nothing else."""
    linear_kinds, kinds = (Affine, Convolution, Resize), {type(block) for block in blocks}
    if kinds <= set(linear_kinds) or kinds == {Activation}:
        return list(blocks)
    rest = [_matrix(block) for block in blocks]
    proven: Proven | None = None
    linear: Affine | Convolution | None = None  # waits for the nonlinear block that takes it in
    while rest:
        block = rest.pop(0)
        if isinstance(block, Affine | Convolution):
            linear = block if linear is None else linear_product(s, linear, block)
            continue
        part = _part(s, block, rest)
        if linear is not None:
            part, linear = linear_before(linear, part), None
        proven = part if proven is None else compose(proven, part)
    assert proven is not None
    return [proven if linear is None else linear_after(proven, linear)]


def _matrix(block: Block) -> Block:
    """A resize block as the matrix it is."""
    if not isinstance(block, Resize):
        return block
    eye = torch.eye(block.q, block.d, dtype=torch.float64)
    return Affine(eye, torch.zeros(block.q, dtype=torch.float64))


def _part(s: Structure, block: Block, rest: list[Block]) -> Proven:
    """The nonlinear block, with the residual blocks that follow it, as an equilibrium."""
    if isinstance(block, Residual | ConvResidual):
        chain: list[Residual | ConvResidual] = [block]
        while rest and isinstance(rest[0], Residual | ConvResidual):
            following = rest.pop(0)
            assert isinstance(following, Residual | ConvResidual)
            chain.append(following)
        return equilibrium_from_residuals(s, chain)
    if isinstance(block, Activation):
        return activation_alone(s, block.sigma)
    assert isinstance(block, Equilibrium | ConvEquilibrium)
    guess = multipliers(block)
    return Proven(block, torch.from_numpy(guess.lam.copy()), guess.lip)
