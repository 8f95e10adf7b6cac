"""Train a 1-Lipschitz model, hold it against its gates, and ship it as plain torch with its proof.

What is deployed needs torch alone. The certificate, the page and the JUnit report say what was proven of
the very numbers that are deployed; the exit code stops a build that would ship less.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import torch

import certlip
from certlip.api.certified import CertifyResult
from certlip.data import load
from certlip.training import load_recipe, train

OUT = Path("shipped")
REQUIRED = {"natural_accuracy": 0.85, "36/255": 0.5}


def trained() -> certlip.Network:
    """A few epochs of the recipe that comes with certlip for handwritten digits."""
    recipe = load_recipe("digits-quick")
    settings = recipe.train.with_options(epochs=6)
    data, validation = (load("digits", split=name) for name in ("train", "validation"))
    return train(recipe.family, recipe.model, data, validation, settings, OUT / "training")


def gate(result: CertifyResult) -> list[str]:
    """What is missing."""
    reached = {"natural_accuracy": result.natural_accuracy, **result.certified_accuracy}
    return [f"{k}: {reached[k]:.3f} < {v}" for k, v in REQUIRED.items() if reached[k] < v]


def main() -> int:
    test = load("digits", split="test")
    network = trained()
    result = certlip.certify(network, test, eps="36/255", certificate=OUT / "model.certlip")
    for name in ("html", "junit"):
        result.save(OUT / f"report.{name}", name)
    if missing := gate(result):
        print("not shipped:", *missing, sep="\n  ")
        return 1

    exported = certlip.export(network, OUT / "model.py", to="torch", data=test)
    print(exported)
    # as the deployment reads it: no certlip, no pickled code
    deployed = runpy.run_path(str(OUT / "model.py"))["load"]()
    with torch.no_grad():
        found = deployed(torch.from_numpy(test.x)).argmax(1).numpy()
    print(f"deployed accuracy {(found == test.label).mean():.4f}, {result}")
    return 0 if certlip.verify(OUT / "model.certlip", model=network).accepted else 1


if __name__ == "__main__":
    sys.exit(main())
