"""Which recipe a command starts from when none is named."""

from __future__ import annotations

from certlip.errors import InputError


def default_recipe(family: str | None, dataset: str | None) -> str:
    """The recipe of a family and a dataset; on other data that of the digits is the start.

    Raises:
        InputError: unknown family.
    """
    from certlip.models import MODELS

    family = family or "sll"
    if family not in MODELS:
        raise InputError(f"--family {family!r}: expected one of {', '.join(MODELS)}")
    if family == "sll":
        return "mnist-dense" if dataset == "mnist" else "digits-quick"
    return f"digits-{family}"
