"""Trains a small network with boxes on handwritten digits and certifies it in both norms.

An equilibrium layer behind two convolutions: its box is an equilibrium of twice the size, which is guessed
and then verified. Without boxes in training next to nothing can be certified in the ℓ∞ norm.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from certlip import data
from certlip.certification import certify, falsify, parse_eps
from certlip.lmi import prove
from certlip.training import Settings, train
from certlip.training.interval import IntervalCrossEntropy

EPS = parse_eps("0.02,0.05")


def main() -> None:
    splits = {name: data.load("digits", split=name) for name in ("train", "validation", "test")}
    settings = Settings(
        epochs=16,
        lr=1e-2,
        betas=(0.9, 0.999),
        clip=5.0,
        loss=IntervalCrossEntropy(eps=0.05, start=0.0, end=0.5),
        norm="linf",
        eps="0.05",
        validate_every=16,
        checkpoint_every=16,
    )
    sizes = {"channels": 8, "hidden": 48, "norm": 1}
    with tempfile.TemporaryDirectory() as folder:
        network = train(
            "cerdeq", sizes, splits["train"], splits["validation"], settings, Path(folder)
        )
    test, proof = splits["test"], prove(network)
    found = certify(network, proof, test.x, test.label, norms=("l2", "linf"), eps_linf=EPS)
    print(f"natural accuracy {found.natural_correct() / len(found):.4f}")
    assert found.radius_linf is not None
    assert found.method_linf is not None
    for eps in EPS:
        print(
            f"certified for ‖x′ − x‖∞ ≤ {eps.text}: {(found.radius_linf >= eps.upper).mean():.4f}"
        )
    print(f"by boxes: {(found.method_linf == 'interval').sum()} of {len(found)}")
    kept = found.radius_linf > 0.0
    attack = falsify(
        *(network, proof, test.x[kept][:50], test.label[kept][:50], found.radius_linf[kept][:50]),
        norm="linf",
    )
    print(f"radii that an attack broke: {len(attack.broken)} of {attack.attacked}")
    assert not attack.broken


if __name__ == "__main__":
    main()
