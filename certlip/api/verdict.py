"""The document `certlip/verify/1`, which needs NumPy alone as the checker does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certlip.checker import Verdict


def verify_document(certificate: str | Path, verdict: Verdict) -> dict[str, Any]:
    """What the checker said of a certificate."""
    proven = verdict.lipschitz_upper != "inf"
    reason = {} if proven else {"lipschitz_upper_reason": "no bound was proven"}
    return {
        "schema": "certlip/verify/1",
        "certificate": str(certificate),
        "accepted": verdict.accepted,
        "reason": verdict.reason,
        "checks": [list(check) for check in verdict.checks],
        "lipschitz_upper": verdict.lipschitz_upper if proven else None,
        **reason,
        "natural_accuracy": verdict.natural_accuracy,
        "certified_accuracy": verdict.certified_accuracy,
        "n": verdict.n,
        "model": {"sha256": verdict.model_sha256},
        "data": {"sha256": verdict.data_sha256},
        "exit_code": 0 if verdict.accepted else 1,
    }
