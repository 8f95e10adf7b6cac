"""The results of a certification as plain data: the document `certlip/certify/1` and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from certlip._version import __version__
from certlip.blocks import Block, Network
from certlip.certify.attack import Falsification
from certlip.certify.eps import Eps
from certlip.certify.radii import Radii
from certlip.certify.status import Status
from certlip.lmi import BlockProof, NetworkProof

SCHEMA = "certlip/certify/1"


def block_row(k: int, block: Block, proof: BlockProof | None) -> dict[str, Any]:
    """One row of a block table: what block k is and which bound is proven by which rule."""
    return {
        "name": f"block{k}",
        "kind": block.kind,
        "shape": block.describe(),
        "rule": None if proof is None else proof.rule,
        "lipschitz_upper": None if proof is None else str(proof.lip),
    }


def certify_document(
    network: Network,
    proof: NetworkProof,
    radii: Radii,
    *,
    eps: Sequence[Eps],
    model_path: str,
    data: dict[str, Any],
    settings: dict[str, Any],
    seconds: float,
    falsification: Falsification | None,
    gates: Sequence[dict[str, Any]] = (),
    exit_code: int = 0,
) -> dict[str, Any]:
    """The JSON document. Proven numbers are strings that read back to the same double."""
    n = len(radii)
    return {
        "schema": SCHEMA,
        "certlip": __version__,
        "model": {
            "path": model_path,
            "sha256": network.sha256(),
            "blocks": [
                block_row(k, block, own)
                for k, (block, own) in enumerate(zip(network.blocks, proof.blocks, strict=True))
            ],
        },
        "settings": {**settings, "eps": [e.text for e in eps]},
        "data": data,
        "lipschitz_upper": str(proof.lip),
        "natural_accuracy": radii.natural_correct() / n,
        "certified_accuracy": {e.text: int(radii.certified_at(e).sum()) / n for e in eps},
        "counts": {status.value: int((radii.status == status).sum()) for status in Status},
        "throughput": n / seconds,
        "seconds": seconds,
        "falsifier": None if falsification is None else falsification.summary(),
        "gates": list(gates),
        "status": "done",
        "exit_code": exit_code,
    }


def sample_rows(radii: Radii) -> list[dict[str, Any]]:
    """The rows of `results.jsonl`, in the order of the data; null where there is no number."""
    return [
        {
            "index": i,
            "label": int(radii.label[i]),
            "predicted": int(radii.predicted[i]) if radii.predicted[i] >= 0 else None,
            "status": str(radii.status[i]),
            "margin_lower": repr(float(radii.margin_lower[i])),
            "radius_lower": repr(float(radii.radius_lower[i])),
            "residual": float(radii.residual[i]) if np.isfinite(radii.residual[i]) else None,
        }
        for i in range(len(radii))
    ]
