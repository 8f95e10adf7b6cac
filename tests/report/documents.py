"""A document and its samples as `certlip certify` writes them, small and consistent."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

EPS = ("36/255", "72/255", "108/255", "1")


def make_samples(n: int, seed: int, scale: float) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(n):
        label = index % 10
        draw = rng.random()
        status = "certified" if draw < 0.93 else "misclassified" if draw < 0.98 else "unknown"
        certified = status == "certified"
        radius = float(scale * rng.gamma(6.0 + label / 3)) if certified else 0.0
        predicted = (label + 1) % 10 if status == "misclassified" else label
        rows.append(
            {
                "index": index,
                "label": label,
                "predicted": predicted,
                "status": status,
                "margin_lower": repr(1.4 * radius),
                "radius_lower": repr(radius),
                "residual": 1e-13,
            }
        )
    return rows


def make_document(samples: list[dict[str, Any]], path: str = "runs/sll.pt") -> dict[str, Any]:
    n = len(samples)
    radii = [Fraction(float(r["radius_lower"])) for r in samples if r["status"] == "certified"]
    names = ("certified", "misclassified", "unknown", "falsified", "unsupported", "error")
    right = sum(row["label"] == row["predicted"] for row in samples)
    return {
        "schema": "certlip/certify/1",
        "certlip": "0.1.0",
        "model": {
            "path": path,
            "sha256": "3f" * 32,
            "blocks": [
                {
                    "name": "0",
                    "kind": "affine",
                    "shape": "64 → 64",
                    "rule": "normalisation",
                    "lipschitz_upper": "1.0",
                },
                {
                    "name": "1",
                    "kind": "equilibrium",
                    "shape": "64 → 64 (k=128)",
                    "rule": "LBEN, condition (4)",
                    "lipschitz_upper": "1.0000000000000093",
                },
            ],
        },
        "settings": {
            "seed": 0,
            "device": "cpu",
            "dtype": "float32",
            "semantics": "real",
            "norm": "l2",
            "eps": list(EPS),
            "dataset": "digits",
            "split": "test",
            "limit": None,
            "falsify": 100,
        },
        "data": {
            "name": "digits",
            "split": "test",
            "n": n,
            "sha256": "ab" * 32,
            "shape": [1, 8, 8],
        },
        "lipschitz_upper": "1.0000000000000093",
        "natural_accuracy": right / n if n else 0.0,
        "certified_accuracy": {
            eps: (sum(r >= Fraction(eps) for r in radii) / n if n else 0.0) for eps in EPS
        },
        "counts": {name: sum(r["status"] == name for r in samples) for name in names},
        "throughput": 1234.5,
        "seconds": 0.2916,
        "falsifier": {"attacked": min(n, 100), "steps": 50, "restarts": 2, "broken": 0},
        "gates": [
            {"expr": "certified_accuracy@36/255 >= 0.55", "actual": 0.93, "passed": True},
            {"expr": "lipschitz_upper <= 1", "actual": "1.0000000000000093", "passed": False},
        ],
        "status": "done",
        "exit_code": 1 if n else 3,
    }
