"""The proof of a whole network: one rule per block, composed by L = ∏ L_k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from certlip.blocks import ConvEquilibrium, Equilibrium, Network, PaddedEquilibrium
from certlip.errors import CertlipError, InconclusiveError, UnsupportedError
from certlip.linalg.rigorous import UpperBound, require_ieee
from certlip.linalg.rigorous.bounds import product
from certlip.lmi.proof import BlockProof
from certlip.lmi.rules import apply_rule
from certlip.lmi.search import Search


@dataclass(frozen=True)
class NetworkProof:
    """Proofs of all blocks, in order; `lip` bounds the whole network from raw inputs to logits."""

    blocks: tuple[BlockProof, ...]
    lip: UpperBound

    def after(self, k: int) -> UpperBound:
        """∏_{j>k} L_j: how much an error after block k can grow until the logits."""
        return product([proof.lip for proof in self.blocks[k + 1 :]])

    def before_last(self) -> UpperBound:
        """∏_{j<K} L_j."""
        return product([proof.lip for proof in self.blocks[:-1]])


def prove(
    network: Network, *, lip: float | None = None, search: Search | None = None
) -> NetworkProof:
    """Proves every block.

    Args:
        network: The frozen network.
        lip: Exactly this L for the equilibrium block, which must be the only one.
        search: How multipliers of equilibrium blocks are found.

    Raises:
        RejectedError, InconclusiveError, InputError: with the number and kind of the block.
        UnsupportedError: a block without a rule.
    """
    require_ieee()
    kinds = Equilibrium | ConvEquilibrium | PaddedEquilibrium
    implicit = [k for k, block in enumerate(network.blocks) if isinstance(block, kinds)]
    if lip is not None and len(implicit) != 1:
        raise UnsupportedError(
            f"a prescribed L needs one equilibrium block, this network has {len(implicit)}"
        )
    proofs: list[BlockProof] = []
    for k, block in enumerate(network.blocks):
        options: dict[str, Any] = {"lip": lip} if k in implicit else {}
        if isinstance(block, Equilibrium | ConvEquilibrium):
            options["search"] = search
        try:
            proofs.append(apply_rule(block, **options))
        except CertlipError as error:
            raise type(error)(f"block {k} ({block.kind}): {error}") from None
    try:
        return NetworkProof(tuple(proofs), product([proof.lip for proof in proofs]))
    except ValueError as error:
        raise InconclusiveError(f"the product of all blocks' bounds: {error}") from None
