"""One way to build a model: a family or a network of the papers by name, for a dataset's samples.

What the data decides (inputs, classes, height and width) comes from the samples; what is left are the
sizes of the family, by name, as in the `[model]` table of a recipe.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Sequence
from typing import Any

from certlip.errors import InputError
from certlip.models.base import Model
from certlip.models.boxed import BOXED
from certlip.models.families import MODELS
from certlip.models.named import NAMED


def check_family(family: str) -> None:
    """Refuses what names no family and no network.

    Raises:
        InputError: with the nearest name, or all of them.
    """
    known = [*MODELS, *NAMED, *BOXED]
    if family not in known:
        near = difflib.get_close_matches(family, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
        raise InputError(f"--family {family!r}: no such family; {hint}")


def build(family: str, shape: Sequence[int], classes: int, **sizes: Any) -> Model:
    """A model of that family with random weights.

    Args:
        family: A name of `MODELS`, `NAMED` or `BOXED`.
        shape: Of one sample before flattening; models of images need (channels, height, width), or
            (height, width) for one channel.
        classes: Number of logits.
        sizes: The sizes of the family; those of a named network have defaults.

    Raises:
        InputError: an unknown family, an image model on samples that are no images, a size that is
            missing, unknown to the family, no whole number, or does not fit.
    """
    check_family(family)
    make = {**MODELS, **NAMED, **BOXED}[family]
    own = {name: p.default for name, p in inspect.signature(make).parameters.items()}
    of_data = {"d": math.prod(shape), "classes": classes}
    if "height" in own:  # a model of images
        of_data["height"], of_data["width"] = _image(family, shape)
    free = {name: default for name, default in own.items() if name not in of_data}
    _check_sizes(family, free, sizes)
    return make(**of_data, **sizes)


def _check_sizes(family: str, free: dict[str, Any], sizes: dict[str, Any]) -> None:
    for name, value in sizes.items():
        if name not in free:
            raise InputError(f"family {family}: no size {name!r}; expected {', '.join(free)}")
        if name != "mean" and type(value) is not int:
            raise InputError(f"family {family}: {name} = {value!r}; expected a whole number")
    needed = [name for name, default in free.items() if default is inspect.Parameter.empty]
    missing = [name for name in needed if name not in sizes]
    if missing:
        raise InputError(f"family {family}: no {', '.join(missing)}; expected a whole number each")


def _image(family: str, shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) not in (2, 3):
        raise InputError(
            f"family {family}: samples of shape {tuple(shape)}; "
            "expected images, (channels, height, width)"
        )
    return shape[-2], shape[-1]
