"""Small runs on 150 digits."""

from __future__ import annotations

from certlip.training import Settings, train

ARCHITECTURE = {"width": 64, "hidden": 16, "depth": 2}
IMAGES = {"channels": 4, "pool": 4}
SMALL = {
    "sll": {"width": 64, "hidden": 12, "depth": 2},
    "cpl": {"width": 64, "hidden": 12, "depth": 2},
    "aol": {"width": 24, "depth": 2},
    "sandwich": {"width": 20, "hidden": 24, "depth": 2},
    "mondeq": {"hidden": 24},
    "g-mondeq": {"hidden": 24},
    "lben": {"hidden": 24},
    "sll-conv": {**IMAGES, "inner": 3, "conv_depth": 2, "hidden": 12, "dense_depth": 1},
    "cpl-conv": {**IMAGES, "inner": 3, "conv_depth": 2, "hidden": 12, "dense_depth": 1},
    "aol-conv": {**IMAGES, "conv_depth": 2, "hidden": 16, "dense_depth": 1},
    "sandwich-conv": {**IMAGES, "inner": 3, "conv_depth": 2, "hidden": 12, "dense_depth": 1},
    "mondeq-conv": IMAGES,
    "g-mondeq-conv": IMAGES,
    "lben-conv": IMAGES,
}


def run(splits, out, **options):
    """Trains a small SLL network for six epochs, or with `settings`."""
    settings = Settings(epochs=6, checkpoint_every=2).with_options(**options.pop("settings", {}))
    return train(
        "sll", ARCHITECTURE, splits["train"], splits["validation"], settings, out, **options
    )


class Killed(Exception):
    """Stands for a kill between two epochs."""
