"""The families that can be trained, by name. To add one: its file, a line here, a test row."""

from __future__ import annotations

from collections.abc import Callable

from certlip.models.base import Model
from certlip.models.implicit import GMonDEQClassifier, LBENClassifier, MonDEQClassifier
from certlip.models.implicit_image import (
    GMonDEQConvClassifier,
    LBENConvClassifier,
    MonDEQConvClassifier,
)
from certlip.models.residual import CPLClassifier, SLLClassifier
from certlip.models.residual_image import CPLConvClassifier, SLLConvClassifier
from certlip.models.sequential import AOLClassifier, SandwichClassifier
from certlip.models.sequential_image import AOLConvClassifier, SandwichConvClassifier

MODELS: dict[str, Callable[..., Model]] = {
    "sll": SLLClassifier,
    "cpl": CPLClassifier,
    "aol": AOLClassifier,
    "sandwich": SandwichClassifier,
    "mondeq": MonDEQClassifier,
    "g-mondeq": GMonDEQClassifier,
    "lben": LBENClassifier,
    "sll-conv": SLLConvClassifier,
    "cpl-conv": CPLConvClassifier,
    "aol-conv": AOLConvClassifier,
    "sandwich-conv": SandwichConvClassifier,
    "mondeq-conv": MonDEQConvClassifier,
    "g-mondeq-conv": GMonDEQConvClassifier,
    "lben-conv": LBENConvClassifier,
}
