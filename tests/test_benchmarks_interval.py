"""The boxes of random equilibria that the benchmark attacks: no point is outside, and none is wider
than unrolled."""

import pytest

from benchmarks.interval import POINTS, contained


@pytest.mark.parametrize(
    ("points", "seed"), [(4_000, 1), pytest.param(POINTS, 0, marks=pytest.mark.slow)]
)
def test_no_point_is_outside_of_its_box(points, seed):
    tried, outside, widest = contained(points, seed)
    assert tried >= points
    assert outside == 0
    assert widest <= 1.0 + 1e-6
