"""How long something takes: the smallest of a few runs, after one that does not count."""

from __future__ import annotations

import time
from collections.abc import Callable


def best(run: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of `repeats` runs."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
