"""Natural and certified accuracy of the frozen weights, and whether their bound is proven."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from certlip.blocks import Network
from certlip.certification import Eps, certify
from certlip.data import Dataset
from certlip.errors import CertlipError
from certlip.lmi import prove


def validated(
    network: Network, validation: Dataset, radii: Sequence[Eps], norm: str = "l2"
) -> dict[str, Any]:
    """The proof that `check-lmi` makes, and accuracies for every ε; a reason where nothing is proven."""
    try:
        proof = prove(network)
    except CertlipError as error:
        return {"proven": False, "reason": str(error)}
    boxes = radii if norm == "linf" else ()
    found = certify(network, proof, validation.x, validation.label, norms=(norm,), eps_linf=boxes)
    n = len(found)
    return {
        "proven": True,
        "lipschitz_upper": str(proof.lip),
        "natural": found.natural_correct() / n,
        "certified": {e.text: int(found.certified_at(e).sum()) / n for e in radii},
        "radius": float(found.radius_lower.mean()),
    }


def certified_score(row: dict[str, Any]) -> float:
    """Natural plus certified accuracies of `validated`; the mean radius breaks ties."""
    return row["natural"] + sum(row["certified"].values()) + 1e-3 * row["radius"]
