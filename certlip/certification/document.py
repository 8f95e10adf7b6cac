"""The results of a certification as plain data: the document `certlip/certify/1`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from certlip._version import __version__
from certlip.blocks import Block, Network
from certlip.certification.attacks import Falsification
from certlip.certification.eps import Eps
from certlip.certification.tally import Tally
from certlip.lmi import BlockProof, NetworkProof
from certlip.lmi.pairs import pair_kinds

SCHEMA = "certlip/certify/1"


@dataclass(frozen=True)
class LinfPart:
    """ε of the ℓ∞ norm, why there are no interval bounds if so, and the attack on what was proven."""

    eps: Sequence[Eps]
    reason: str | None
    falsification: Falsification | None

    def entry(self, counted: Tally) -> dict[str, Any]:
        falsification = self.falsification
        return {
            "eps": [e.text for e in self.eps],
            "certified_accuracy": {e.text: counted.linf[e.text] / counted.n for e in self.eps},
            "methods": dict(counted.methods),
            "interval": self.reason is None,
            "interval_reason": self.reason,
            "falsifier": None if falsification is None else falsification.summary(),
        }


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
    counted: Tally,
    *,
    eps: Sequence[Eps],
    model_path: str,
    data: dict[str, Any],
    settings: dict[str, Any],
    seconds: float,
    timed: int,
    falsification: Falsification | None,
    gates: Sequence[dict[str, Any]] = (),
    exit_code: int = 0,
    linf: LinfPart | None = None,
) -> dict[str, Any]:
    """The JSON document. Proven numbers are strings that read back to the same double.

    Args:
        counted: The counts over all samples, at every ε of `eps` and perhaps more.
        seconds: Measured while `timed` samples were certified, fewer than n after a resume.
        linf: What only a certification in the ℓ∞ norm knows.
    """
    n = counted.n
    document = {
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
        "pairs": pair_kinds(network, proof),
        "natural_accuracy": counted.correct / n,
        "certified_accuracy": {e.text: counted.certified[e.text] / n for e in eps},
        "counts": {status.value: count for status, count in counted.counts.items()},
        "throughput": timed / seconds if timed else None,
        "seconds": seconds,
        "timed": timed,
        "falsifier": None if falsification is None else falsification.summary(),
        "gates": list(gates),
        "status": "done",
        "exit_code": exit_code,
    }
    if linf is not None:
        document["linf"] = linf.entry(counted)
    if not timed:
        document["throughput_reason"] = "every sample was certified in an earlier run"
    return document
