"""What gates and comparisons are about: counts of one run, and the bound it proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from certlip.errors import InputError

if TYPE_CHECKING:
    from certlip.certification import Tally


@dataclass(frozen=True)
class Subject:
    """What a run was about; only runs that agree in all of it can be compared."""

    data: str
    """The hash of the samples and labels."""
    shape: tuple[int, ...]
    norm: str
    """That of `certified_accuracy`: the first one."""
    semantics: str

    @classmethod
    def of(cls, data: Mapping[str, Any], settings: Mapping[str, Any]) -> Subject:
        """That of a run with these `data` and `settings` of its document."""
        norm, semantics = settings["norm"].split(",")[0], settings["semantics"]
        return cls(data["sha256"], tuple(data["shape"]), norm, semantics)

    def require_same(self, other: Subject, name: str) -> None:
        """Refuses to compare what differs.

        Raises:
            InputError: what differs, with both values.
        """
        words = {"data": "data sha256", "shape": "input shape", "norm": "norm"}
        for key in ("shape", "data", "norm", "semantics"):
            own, there = getattr(self, key), getattr(other, key)
            if own != there:
                said = (str(value)[:16] for value in (there, own))
                word = words.get(key, key)
                raise InputError(f"{name}: {word} {' and not '.join(said)}; expected the same")


@dataclass(frozen=True)
class Measured:
    """Counts over n samples, the certified ones by exact ε, and the proven Lipschitz bound."""

    n: int
    correct: int
    certified: Mapping[Fraction, int]
    undecided: int
    """Samples that may be certified or not; they are in no other count of certified ones."""
    lipschitz_upper: str | None
    linf: Mapping[Fraction, int] = field(default_factory=dict)
    """The certified ones by exact ε of the ℓ∞ norm, if the run has it."""

    @classmethod
    def of_run(cls, counted: Tally, lipschitz_upper: str) -> Measured:
        """That of a run which has just been counted."""
        certified, linf = (
            {Fraction(text): count for text, count in each.items()}
            for each in (counted.certified, counted.linf)
        )
        return cls(counted.n, counted.correct, certified, counted.undecided, lipschitz_upper, linf)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Measured:
        """That of a stored document that was checked: shares are counts over n again.

        Raises:
            InputError: an ε, a share or a bound that is no number.
        """
        from certlip.report.base import field as stated
        from certlip.report.numbers import finite, parse_eps

        n, counts = document["data"]["n"], document["counts"]

        def count(share: Any) -> int:
            return round((finite(share) or 0.0) * n)

        inside = stated(document, "linf.certified_accuracy") if "linf" in document else {}
        if not isinstance(inside, Mapping):
            raise InputError("results: linf.certified_accuracy is no table of shares by ε")
        certified, linf = (
            {
                parse_eps(eps): count(share)
                for eps, share in shares.items()
                if not eps.endswith("_reason")
            }
            for shares in (document["certified_accuracy"], inside)
        )
        undecided = counts.get("unknown", 0) + counts.get("error", 0)
        correct = count(document["natural_accuracy"])
        bound = document["lipschitz_upper"]
        if bound is not None and not _is_bound(bound):
            raise InputError(f"results: lipschitz_upper is {bound!r:.60}; expected a number")
        return cls(n, correct, certified, undecided, bound, linf)


def _is_bound(text: str) -> bool:
    try:
        return 0.0 <= float(text) < float("inf")
    except ValueError:
        return False
