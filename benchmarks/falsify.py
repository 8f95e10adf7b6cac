"""500 certified digits, each attacked at its own certified radius with 100 steps and 10 restarts of ℓ2
PGD; on the demo's models, which are trained first. Any broken certificate would be a bug."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from certlip.blocks import load as load_model
from certlip.certify import certify, falsify
from certlip.data import load
from certlip.lmi import prove
from certlip.training import finetune, load_recipe, train


def run() -> list[list[str]]:
    recipe = load_recipe("digits-quick")
    data, validation = load("digits", split="train"), load("digits", split="validation")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        network = train(recipe.family, recipe.model, data, validation, recipe.train, out / "sll")
        finetune(network, data, validation, recipe.finetune, out / "lben")
        models = {name: load_model(out / name / "model.pt") for name in ("sll", "lben")}
    data = load("digits", split="all")
    rows = [["model", "attacked", "steps × restarts", "broken", "seconds"]]
    for name, model in models.items():
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
            steps=100,
            restarts=10,
        )
        seconds = time.perf_counter() - start
        rows.append(
            [name, str(found.attacked), "100 × 10", str(len(found.broken)), f"{seconds:.0f}"]
        )
    return rows
