"""Whole architectures, built from layers. To add one: its file, a line here, a test row."""

from __future__ import annotations

from certlip.models.base import Model as Model
from certlip.models.sll import SLLClassifier as SLLClassifier

MODELS: dict[str, type[Model]] = {"sll": SLLClassifier}
