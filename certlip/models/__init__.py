"""Whole architectures, built from layers. To add one: its file, a line here, a test row."""

from __future__ import annotations

from collections.abc import Callable

from certlip.models.base import Model as Model
from certlip.models.image import AOLConvClassifier as AOLConvClassifier
from certlip.models.image import CPLConvClassifier as CPLConvClassifier
from certlip.models.image import SandwichConvClassifier as SandwichConvClassifier
from certlip.models.image import SLLConvClassifier as SLLConvClassifier
from certlip.models.implicit import GMonDEQClassifier as GMonDEQClassifier
from certlip.models.implicit import LBENClassifier as LBENClassifier
from certlip.models.implicit import MonDEQClassifier as MonDEQClassifier
from certlip.models.named import NAMED as NAMED
from certlip.models.residual import CPLClassifier as CPLClassifier
from certlip.models.residual import SLLClassifier as SLLClassifier
from certlip.models.sequential import AOLClassifier as AOLClassifier
from certlip.models.sequential import SandwichClassifier as SandwichClassifier

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
}
