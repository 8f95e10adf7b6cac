"""What floating point proves of (3) and (10) holds in exact rational arithmetic."""

import numpy as np
import pytest
from exact import definite, lipschitz, well_posed
from hypothesis import given
from hypothesis import strategies as st
from lmi_nets import block_of, parts_with_margin

from certlip.linalg.rigorous import is_positive_definite
from certlip.lmi import Conditions

#: How far from the boundary, relative to what is largest there; 0 is the boundary as doubles know it.
DISTANCES = (
    0.0,
    *(sign * 10.0**-k for k in (2, 6, 10, 12, 13, 14, 15, 16) for sign in (1, -1)),
)


def critical_lip(conditions, lam):
    """The smallest L for which the matrix of (10) is ⪰ 0 in double precision."""
    low, high = 1e-6, 1e6
    for _ in range(70):
        middle = np.sqrt(low * high)
        smallest = np.linalg.eigvalsh(conditions.lipschitz(lam, middle).mid)[0]
        low, high = (low, middle) if smallest > 0 else (middle, high)
    return high


def small_block(seed):
    """Weights of up to 4 units of very different size, and Λ that proves some L."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    parts, _ = parts_with_margin(seed, n=n, d=3, q=2, scale=10.0 ** rng.integers(-2, 3))
    t = 10.0 ** rng.uniform(-3, 3, n)  # z_i in other units
    W, U, G = parts["W"] * t / t[:, None], parts["U"] / t[:, None], parts["G"] * t
    return (W, U, G), parts["lam"] * t**2


@pytest.mark.parametrize("seed", range(0, 200, 20))
def test_nothing_is_proven_that_exact_arithmetic_refutes(seed):
    """(10) at 20 blocks × 17 distances from the smallest L, most of them far below the rounding."""
    proven = refuted = 0
    for each in range(seed, seed + 20):
        (W, U, G), lam = small_block(each)
        conditions = Conditions(block_of(W, U, G))
        at = critical_lip(conditions, lam)
        for distance in DISTANCES:
            lip = at * (1.0 + distance)
            believed = is_positive_definite(conditions.lipschitz(lam, lip))
            true = definite(lipschitz(W, U, G, lam, lip))
            assert true or not believed, (each, distance)
            proven, refuted = proven + believed, refuted + (not true)
            if distance >= 1e-6:
                assert believed == true, (each, distance)
    assert proven > 50
    assert refuted > 50


@pytest.mark.parametrize("seed", range(0, 60, 20))
def test_no_margin_of_monotonicity_is_proven_that_exact_arithmetic_refutes(seed):
    for each in range(seed, seed + 20):
        (W, U, G), gam = small_block(each)
        conditions, root = Conditions(block_of(W, U, G)), np.sqrt(gam)
        scaled = conditions.well_posed(gam).mid / root / root[:, None]
        at = np.linalg.eigvalsh(scaled)[0] / 2.0
        for distance in DISTANCES:
            mu = at * (1.0 - distance)
            if mu < 0.0:
                continue
            believed = is_positive_definite(conditions.well_posed(gam, mu))
            true = definite(well_posed(W, gam, mu))
            assert true or not believed, (each, distance)
            # μ itself may be small beside the numbers it comes from
            if distance * at >= 1e-6 * np.abs(scaled).max():
                assert believed == true, (each, distance)


@given(
    w=st.integers(-8, 0), u=st.integers(1, 8), g=st.integers(1, 8), exponent=st.integers(-30, 30)
)
def test_a_matrix_that_is_exactly_singular_is_never_proven(w, u, g, exponent):
    """z = relu(wz + ux), y = gz at L = gu/(1 − w): Λ = g/u makes (10) zero if the quotients are exact."""
    w = 1 - 2 ** (1 - w // 2)  # 1 − w a power of two
    scale = 2.0**exponent
    lam, lip = g / u, g * u / (1 - w) * scale
    W, U, G = np.array([[float(w)]]), np.array([[u * scale]]), np.array([[float(g)]])
    M = lipschitz(W, U, G, [lam / scale], lip)
    exact = definite(M)
    ball = Conditions(block_of(W, U, G)).lipschitz(np.array([lam / scale]), lip)
    assert exact or not is_positive_definite(ball)
    if lam.is_integer():
        assert M == [[0]]
        assert not is_positive_definite(ball)


def test_the_referee_knows_a_matrix_by_hand():
    W, U, G = [[0.5, 1.0], [0.0, -1.0]], [[1.0], [2.0]], [[1.0, 0.0]]
    assert well_posed(W, [2.0, 1.0], 0.25) == [[1, -2], [-2, 3.5]]
    # 2Λ − ΛW − WᵀΛ = [[2, −2], [−2, 4]], ΛU = (2, 2), GᵀG = [[1, 0], [0, 0]], L = 4
    assert lipschitz(W, U, G, [2.0, 1.0], 4.0) == [[0.75, -3], [-3, 3]]
    assert not definite(lipschitz(W, U, G, [2.0, 1.0], 4.0))
    assert definite(well_posed(W, [2.0, 4.0])) == (2 * 16 > 4)
