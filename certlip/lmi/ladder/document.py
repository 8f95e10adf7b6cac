"""What a ladder of bounds proved, as the fields of a document; proven numbers are strings."""

from __future__ import annotations

from typing import Any

from certlip.blocks import Network
from certlip.linalg.rigorous import UpperBound
from certlip.lmi.ladder import Climbed, Ladder


def ladder_fields(network: Network, ladder: Ladder) -> dict[str, Any]:
    """Bounds of the network, of every block and of every pair of classes, and the rungs' own."""
    return {
        "lipschitz_upper": _text(ladder.lip),
        "spectral_product": _text(ladder.rungs[0].lip),
        "rungs": [_rung(rung) for rung in ladder.rungs],
        "blocks": [
            {
                "name": f"block{k}",
                "kind": block.kind,
                "lipschitz_upper": _text(ladder.blocks[k]),
                "spectral_upper": _text(ladder.rungs[0].stretches[k].lip),
            }
            for k, block in enumerate(network.blocks)
        ],
        "pairs_upper": None
        if ladder.pairs is None
        else [[repr(float(bound)) for bound in row] for row in ladder.pairs],
        "pairs_reason": ladder.pairs_reason,
    }


def _rung(rung: Climbed) -> dict[str, Any]:
    stretches = [
        {
            "blocks": [s.start, s.stop - 1],
            "lipschitz_upper": _text(s.lip),
            "solver_estimate": s.estimate,
            "seconds": s.seconds,
            "reason": s.reason,
        }
        for s in rung.stretches
    ]
    return {
        "name": rung.rung,
        "lipschitz_upper": _text(rung.lip),
        "seconds": rung.seconds,
        "stretches": stretches,
    }


def _text(bound: UpperBound | None) -> str | None:
    return None if bound is None else str(bound)
