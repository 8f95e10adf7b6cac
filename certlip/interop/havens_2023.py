"""What the checkpoints of Araujo et al. (ICLR 2023) and Havens et al. (NeurIPS 2023) share.

A checkpoint is a dict whose `model_state_dict` has names that begin with `module.model.`: a data-parallel
wrapper around a normalisation, which is not stored. Both codes are for square colour images; both pad the
three channels with zeros to c channels, and pool windows of 4 × 4 pixels to their sum divided by 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from certlip.blocks import Block, Normalize, Pooling, Resize
from certlip.errors import InputError
from certlip.interop.reading import load_state_dict

COLOURS, WINDOW = 3, 4
#: What the pixels of CIFAR-10 are shifted by; nothing is scaled.
CIFAR10_MEANS = (0.4913, 0.4821, 0.4465)
SHIFTS = tuple(f"{name}.{i}" for name in ("mean", "std") for i in range(COLOURS))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by their short names."""
    return load_state_dict(path, ("module.", "model.", "model."), "model_state_dict")


def check_values(
    path: Path, format_name: str, values: Mapping[str, float], needed: Mapping[str, str]
) -> None:
    """Checks `--set`: what is needed is there, and nothing but the normalisation beside it.

    Raises:
        InputError: a scalar that is unknown, missing, or no number that makes sense.
    """
    known = [*needed, "mean", "std", *SHIFTS]
    for name, value in values.items():
        if name not in known:
            listed = ", ".join([*needed, "mean", "std", "mean.0", "… std.2"])
            raise InputError(f"--set {name}: {format_name} takes {listed}")
        if not math.isfinite(value) or (name.startswith("std") and value <= 0.0):
            raise InputError(f"--set {name}={value}: expected a finite number, std above 0")
    for name, example in needed.items():
        if name not in values:
            raise InputError(
                f"{path}: the file does not store {name}; give it as --set {name}={example}"
            )


def classes_of(values: Mapping[str, float]) -> int:
    """`--set classes=10`, a whole number above 0."""
    classes = values["classes"]
    if classes != int(classes) or classes < 1:
        raise InputError(f"--set classes={classes}: expected a whole number above 0")
    return int(classes)


def first_blocks(
    values: Mapping[str, float], means: Sequence[float], side: int, c: int
) -> list[Block]:
    """(x − mean)/std per colour, then zeros for the other channels; all at once for `mean` and `std`."""
    if c < COLOURS:
        raise InputError(f"{c} channels: expected at least {COLOURS}, those of the images")
    blocks: list[Block] = []
    defaults = {"mean": means, "std": (1.0,) * COLOURS}
    mean, std = (
        torch.tensor(
            [values.get(f"{name}.{i}", values.get(name, own[i])) for i in range(COLOURS)],
            dtype=torch.float64,
        ).repeat_interleave(side * side)
        for name, own in defaults.items()
    )
    if bool(mean.any()) or bool((std != 1.0).any()):
        blocks.append(Normalize(mean, std))
    if c > COLOURS:
        blocks.append(Resize(COLOURS * side * side, c * side * side))
    return blocks


def pooled(c: int, side: int) -> Pooling:
    """Sums of 4 × 4 pixels, divided by 4."""
    return Pooling(c, side, side, WINDOW)


def side_of(features: int, c: int) -> int:
    """The side of images whose c channels, pooled, are that many numbers.

    Raises:
        InputError: there is none.
    """
    side = math.isqrt(features // c) if c else 0
    if c < 1 or side < 1 or c * side * side != features:
        raise InputError(f"{features} features from {c} channels: no square images give that")
    return WINDOW * side
