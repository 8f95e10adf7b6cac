"""What a document says of all samples together, counted row by row in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from certlip.certification.eps import Eps
from certlip.certification.rows import METHODS, WITH_RADIUS
from certlip.certification.status import Status


@dataclass(frozen=True)
class Tally:
    """Counts over n samples; `certified` has one count per ε as it was written.

    `linf` has the same for ℓ∞ radii, and `methods` how many of them each method gave.
    """

    n: int
    correct: int
    certified: Mapping[str, int]
    counts: Mapping[Status, int]
    linf: Mapping[str, int]
    methods: Mapping[str, int]

    @classmethod
    def of(
        cls, rows: Iterable[Mapping[str, Any]], eps: Sequence[Eps], eps_linf: Sequence[Eps] = ()
    ) -> Tally:
        """Counts rows as `sample_rows` writes them, at every ε; one that is named twice counts once."""
        n = correct = 0
        bounds, bounds_linf = ({e.text: e.upper for e in own} for own in (eps, eps_linf))
        certified, linf = dict.fromkeys(bounds, 0), dict.fromkeys(bounds_linf, 0)
        methods = dict.fromkeys(METHODS, 0)
        counts: Counter[Status] = Counter()
        for row in rows:
            n += 1
            correct += row["predicted"] == row["label"]
            counts[Status(row["status"])] += 1
            if row["status"] == Status.CERTIFIED:
                radius = float(row["radius_lower"])
                for text, bound in bounds.items():
                    certified[text] += radius >= bound
                if row.get("method_linf") is not None:
                    radius = float(row["radius_lower_linf"])
                    for text, bound in bounds_linf.items():
                        linf[text] += radius >= bound
                    methods[row["method_linf"]] += 1
        every = {status: counts[status] for status in Status}
        return cls(n, correct, certified, every, linf, methods)

    @property
    def with_radius(self) -> int:
        """Samples that were certified, whether or not an attack broke them afterwards."""
        return sum(self.counts[status] for status in WITH_RADIUS)

    @property
    def undecided(self) -> int:
        """Samples of which neither answer is known."""
        return self.counts[Status.UNKNOWN] + self.counts[Status.ERROR]
