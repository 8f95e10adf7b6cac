"""Finds and proves (10) for the difference of every two logits behind the last equilibrium.

With the one row G_a − G_j for G, an L far below √2 times that of all logits is often provable. Multipliers
come from our own solver, many pairs at once, or are the best multiples of those of the block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from certlip.blocks import Affine, Equilibrium, Network
from certlip.linalg.rigorous.ball import Ball, composed
from certlip.linalg.rigorous.bounds import product
from certlip.lmi.conditions import Conditions
from certlip.lmi.forms import Forms
from certlip.lmi.multiples import row_multiples
from certlip.lmi.network import NetworkProof
from certlip.lmi.pairs import pair_bounds
from certlip.lmi.proof import EquilibriumProof, Pairs
from certlip.lmi.rows import ARRAYS, prove_row, solve_rows
from certlip.lmi.search import Search

LARGEST = 1e9  # pairs × n³ that are solved for: about a minute of one core
MOST = 2e11  # pairs × (n³ + FIXED) that are proven: a minute or two
FIXED = 1e6  # what a pair of any size costs
LARGEST_BATCH = 2.0**30  # bytes
GAIN = 1e-3  # relative: less is not worth a proof


@dataclass(frozen=True)
class Head:
    """The last equilibrium, block k, behind which all is affine; M maps its states to the logits."""

    k: int
    block: Equilibrium
    M: Ball

    @classmethod
    def of(cls, network: Network) -> Head | None:
        """None if the network ends otherwise."""
        k = len(network.blocks) - 1
        while k > 0 and isinstance(network.blocks[k], Affine):
            k -= 1
        block = network.blocks[k]
        if not isinstance(block, Equilibrium):
            return None
        M = Ball(block.G.numpy())
        for affine in network.blocks[k + 1 :]:
            assert isinstance(affine, Affine)
            M = composed(Ball(affine.W.numpy()), M)
        return cls(k, block, M)

    def forms(self) -> Forms:
        return replace(Forms.dense(self.block), G=self.M)


def prove_pairs(
    network: Network, proof: NetworkProof, search: Search | None = None
) -> NetworkProof:
    """The proof with bounds of pairs wherever they are better than those without.

    Args:
        network: The frozen network.
        proof: Its proof.
        search: How multipliers of the blocks were found. If by a solver, ours solves for those of pairs
            as well, unless there is too much to solve.
    """
    head = Head.of(network)
    if head is None or network.classes < 2:
        return proof
    own = proof.blocks[head.k]
    count = network.classes * (network.classes - 1) // 2
    before = product([earlier.lip for earlier in proof.blocks[: head.k]]).value
    if not isinstance(own, EquilibriumProof) or own.lam is None or before == 0.0:
        return proof
    if count * (head.block.n**3 + FIXED) > MOST:
        return proof
    forms, pairs = head.forms(), np.array(list(combinations(range(network.classes), 2)))
    found = _guesses(head, forms, own.lam, pairs, search or Search())
    if found is None:
        return proof
    lam, lip = found
    known = pair_bounds(network, proof.lip, proof.before_last())[pairs[:, 0], pairs[:, 1]]
    worth = (1.0 - GAIN) * known / before
    conditions = Conditions(forms)
    kept = []
    for p in np.flatnonzero(lip < worth):
        a, j = (int(c) for c in pairs[p])
        proven = prove_row(conditions, forms.G, (a, j), lam[p], float(lip[p]))
        if proven is not None:
            kept.append((a, j, proven[0].value, proven[1]))
    if not kept:
        return proof
    a, j, proven_lip, proven_lam = zip(*kept, strict=True)
    of_pairs = Pairs(np.array(a), np.array(j), np.array(proven_lip), np.stack(proven_lam))
    blocks = list(proof.blocks)
    blocks[head.k] = replace(own, pairs=of_pairs)
    return replace(proof, blocks=tuple(blocks))


def _guesses(
    head: Head, forms: Forms, lam: np.ndarray, pairs: np.ndarray, search: Search
) -> tuple[np.ndarray, np.ndarray] | None:
    """Λ (P, n) and L (P,) for each pair; L is infinite where there is none."""
    if not search.by_formula(head.block) and len(pairs) * forms.n**3 <= LARGEST:
        return _solved(forms, lam, pairs, search.device)
    rows = forms.G.mid[pairs[:, 0]] - forms.G.mid[pairs[:, 1]]
    return row_multiples(forms.W.mid, forms.U.mid, rows, lam)


def _solved(
    forms: Forms, lam: np.ndarray, pairs: np.ndarray, device: str
) -> tuple[np.ndarray, np.ndarray]:
    size = max(1, int(LARGEST_BATCH / (ARRAYS * 8.0 * forms.n**2)))
    candidates = []
    for at in range(0, len(pairs), size):
        candidates += solve_rows(forms, pairs[at : at + size], start=lam, device=device)
    none = np.full(forms.n, np.nan)
    found = [(none, np.inf) if c.lam is None else (c.lam, c.lip) for c in candidates]
    return np.stack([each for each, _ in found]), np.array([lip for _, lip in found])
