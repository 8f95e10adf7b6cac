"""500 certified digits, each attacked at its own certified radius with 100 steps and 10 restarts of ℓ2
PGD; on the demo's models, which are trained first. Any broken certificate would be a bug."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.models import trained
from certlip.certification import certify, falsify
from certlip.data import load
from certlip.lmi import prove


def run() -> list[list[str]]:
    data = load("digits", split="all")
    rows = [["model", "attacked", "steps × restarts", "broken", "seconds"]]
    for name, model in trained().items():
        proof = prove(model)
        radii = certify(model, proof, data.x, data.label)
        chosen = np.flatnonzero(radii.status == "certified")[:500]
        start = time.perf_counter()
        found = falsify(
            model,
            proof,
            data.x[chosen],
            radii.predicted[chosen],
            radii.radius_lower[chosen],
            attacks=("pgd",),
            steps=100,
            restarts=10,
        )
        seconds = time.perf_counter() - start
        rows.append(
            [name, str(found.attacked), "100 × 10", str(len(found.broken)), f"{seconds:.0f}"]
        )
    return rows
