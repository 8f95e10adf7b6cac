"""What a document says of all samples together, counted row by row in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from certlip.certify.eps import Eps
from certlip.certify.rows import WITH_RADIUS
from certlip.certify.status import Status


@dataclass(frozen=True)
class Tally:
    """Counts over n samples; `certified` has one count per ε as it was written."""

    n: int
    correct: int
    certified: Mapping[str, int]
    counts: Mapping[Status, int]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], eps: Sequence[Eps]) -> Tally:
        """Counts rows as `sample_rows` writes them, at every ε; one that is named twice counts once."""
        n = correct = 0
        bounds = {e.text: e.upper for e in eps}
        certified = dict.fromkeys(bounds, 0)
        counts: Counter[Status] = Counter()
        for row in rows:
            n += 1
            correct += row["predicted"] == row["label"]
            counts[Status(row["status"])] += 1
            if row["status"] == Status.CERTIFIED:
                radius = float(row["radius_lower"])
                for text, bound in bounds.items():
                    certified[text] += radius >= bound
        return cls(n, correct, certified, {status: counts[status] for status in Status})

    @property
    def with_radius(self) -> int:
        """Samples that were certified, whether or not an attack broke them afterwards."""
        return sum(self.counts[status] for status in WITH_RADIUS)

    @property
    def undecided(self) -> int:
        """Samples of which neither answer is known."""
        return self.counts[Status.UNKNOWN] + self.counts[Status.ERROR]
