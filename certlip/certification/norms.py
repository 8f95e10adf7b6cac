"""The norms that radii are certified in, by name."""

from __future__ import annotations

from certlip.errors import InputError

NORMS = ("l2", "linf")


def parse_norms(text: str) -> tuple[str, ...]:
    """The norms of an option, separated by commas, in the order of `NORMS`.

    Raises:
        InputError: another name, or one that is given twice.
    """
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in NORMS:
            raise InputError(f"--norm {name!r}: expected {' or '.join(NORMS)}, or both")
    if len(set(names)) < len(names):
        raise InputError(f"--norm {text}: a norm is given twice")
    return tuple(norm for norm in NORMS if norm in names)
