"""Rebuilds a network, or the parts of it that a theorem applies to, as LBENs."""

from __future__ import annotations

from dataclasses import dataclass

from certlip.blocks import Block, Network, Normalize
from certlip.blocks.dense_form import dense_form
from certlip.equilibrium import LBEN
from certlip.errors import UnsupportedError
from certlip.reparam.lben import lben_from_equilibrium
from certlip.reparam.proven import Proven
from certlip.reparam.runs import runs


@dataclass(frozen=True)
class Reparametrized:
    """Fixed blocks and trainable LBENs, in order."""

    parts: tuple[Block | LBEN, ...]

    @property
    def lbens(self) -> tuple[LBEN, ...]:
        return tuple(part for part in self.parts if isinstance(part, LBEN))

    @property
    def lben(self) -> LBEN:
        """The only LBEN.

        Raises:
            ValueError: there are several.
        """
        (only,) = self.lbens
        return only

    def freeze(self) -> Network:
        return Network(p.freeze() if isinstance(p, LBEN) else p for p in self.parts)


def reparametrize(network: Network) -> Reparametrized:
    """The network as LBENs: same function up to float64 rounding, same prescribed Lipschitz bounds.

    SLL and CPL (Theorem 3.5), AOL (D.1), Sandwich (D.2), MonDEQ and G-MonDEQ (3.2, 3.4), dense or with
    circular padding: every chain of linear, activation, residual and equilibrium blocks becomes one LBEN.
    What stands between chains (normalisation, pooling, sorting, convolutions with zero padding) stays.

    Raises:
        UnsupportedError: nothing in the network is nonlinear, or nothing nonlinear can be an LBEN.
        RejectedError: the multipliers do not satisfy (10).
        InconclusiveError: an equilibrium block of unknown origin.
    """
    parts = [
        lben_from_equilibrium(part.block, part.lam, part.lip) if isinstance(part, Proven) else part
        for part in _runs(network)
    ]
    return Reparametrized(tuple(parts))


def equilibria_from_network(network: Network) -> Network:
    """The same network with one equilibrium block for every chain, and its multipliers as origin.

    W is strictly block lower-triangular where a chain is explicit, and solved by substitution.
    """
    parts = [part.frozen() if isinstance(part, Proven) else part for part in _runs(network)]
    return Network(parts, network.history)


def equilibrium_from_network(network: Network) -> Network:
    """The whole network as one dense equilibrium block behind its input normalisation.

    Convolutions and pooling are written out as matrices, so this is for small images.

    Raises:
        UnsupportedError: a block without a matrix of moderate size, or a normalisation that is not in
            front.
    """
    dense = [part for block in network.blocks for part in dense_form(block)]
    found = equilibria_from_network(Network(dense, network.history))
    rest = list(found.blocks)
    while isinstance(rest[0], Normalize):
        rest.pop(0)
    if len(rest) > 1:
        kinds = ", ".join(block.kind for block in network.blocks)
        raise UnsupportedError(f"one equilibrium cannot hold all of: {kinds}")
    return found


def _runs(network: Network) -> list[Block | Proven]:
    found = runs(network)
    if not any(isinstance(part, Proven) for part in found):
        kinds = ", ".join(block.kind for block in network.blocks)
        raise UnsupportedError(f"reparametrization needs a nonlinear block, got: {kinds}")
    return found
