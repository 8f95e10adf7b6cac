"""Proving (3) and (10) of an LBEN: seconds for the whole proof, beside one eigenvalue decomposition of the
same matrix, which proves nothing but is what is usually looked at."""

from __future__ import annotations

import numpy as np

from benchmarks.models import sll, tuned
from benchmarks.timing import best
from certlip.blocks import Equilibrium
from certlip.lmi import prove
from certlip.lmi.analytic import multipliers
from certlip.lmi.conditions import Conditions


def run() -> list[list[str]]:
    rows = [["n", "proven L", "proof, s", "eigvalsh, s", "ratio"]]
    for depth in (2, 4, 8, 9):
        network = tuned(sll(depth))
        block = network.blocks[0]
        assert isinstance(block, Equilibrium)
        guess = multipliers(block)
        matrix = Conditions(block).lipschitz(guess.lam, guess.lip).mid
        proof = prove(network)
        seconds = best(lambda network=network: prove(network), 3)
        usual = best(lambda matrix=matrix: np.linalg.eigvalsh(matrix), 3)
        rows.append(
            [
                str(block.n),
                str(proof.lip),
                f"{seconds:.3f}",
                f"{usual:.3f}",
                f"{seconds / usual:.1f}",
            ]
        )
    return rows
