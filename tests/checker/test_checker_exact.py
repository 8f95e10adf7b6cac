"""The second route: it accepts what the checker accepts, and needs no room for rounding."""

from fractions import Fraction

import numpy as np
import pytest
from checker_nets import (
    activation,
    affine,
    claim,
    draft,
    equilibrium,
    normalize,
    residual,
    small,
    triangular,
    write,
)
from exact import definite, rational

from certlip.checker import check_certificate
from certlip.checker.exact import Refused, prove_exactly
from certlip.checker.exact.rationals import is_semidefinite, root_up
from certlip.checker.reading import Rejected

RELU = [["relu", 3, {}], ["leaky_relu", 2, {"slope": 0.25}], ["identity", 1, {}]]
CHAINS = {
    "one affine": lambda r: [affine(r, 3, 4)],
    "residual": lambda r: [normalize(r, 4), residual(r, 4, 6), affine(r, 3, 4)],
    "activation": lambda r: [affine(r, 6, 4), activation(RELU), affine(r, 3, 6)],
    "equilibrium": lambda r: [normalize(r, 4), equilibrium(r, 6, 4, 3, sigma=RELU)],
    "triangular": lambda r: [triangular(r, 7, 4, 3)],
    "two": lambda r: [equilibrium(r, 5, 4, 4), residual(r, 4, 3), affine(r, 3, 4)],
}


def chain(name, **changes):
    rng = np.random.default_rng(4)
    return draft(rng, CHAINS[name](rng), n=12, **changes)


@pytest.mark.parametrize("divisor", [None, 255])
@pytest.mark.parametrize("name", CHAINS)
def test_both_routes_accept_what_is_true(name, divisor, tmp_path):
    path = write(chain(name, divisor=divisor), tmp_path / "a.certlip")
    assert check_certificate(path).accepted
    checks = prove_exactly(path)
    assert len(checks) == len(CHAINS[name](np.random.default_rng(0))) + 1
    assert "proven certified" in checks[-1][1]


@pytest.mark.parametrize("name", ["one affine", "residual", "activation"])
def test_an_explicit_network_needs_no_room_at_all(name, tmp_path):
    """Radii one part in 10¹⁴ below the quotient; the same part above is rejected."""
    d = chain(name, slack=2e-14)
    assert prove_exactly(write(d, tmp_path / "a.certlip"))
    d = chain(name, slack=-2e-14)
    with pytest.raises(Rejected, match="not proven in fractions"):
        prove_exactly(write(d, tmp_path / "a.certlip"))


def test_a_tie_is_not_certified(tmp_path):
    d = chain("one affine")
    d["blocks"][0][2]["W"][:] = np.tile(d["blocks"][0][2]["W"][0], (3, 1))
    d["blocks"][0][2]["b"][:] = 1.0
    d["proofs"][0]["lipschitz_upper"] = d["lipschitz_upper"] = "100"
    d["samples"]["radius_lower"] = np.where(d["samples"]["status"] == 0, 5e-324, 0.0)
    with pytest.raises(Rejected, match="sample"):
        prove_exactly(write(claim(d), tmp_path / "a.certlip"))


def lowered(d, k, key, factor):
    d["proofs"][k][key] = repr(float(d["proofs"][k][key]) * factor)


MUTANTS = {
    "L of an affine": ("one affine", lambda d: lowered(d, 0, "lipschitz_upper", 1 - 1e-8)),
    "L of normalize": ("residual", lambda d: lowered(d, 0, "lipschitz_upper", 1 - 1e-15)),
    "L of an activation": ("activation", lambda d: lowered(d, 1, "lipschitz_upper", 1 - 1e-15)),
    "L of a residual": ("residual", lambda d: lowered(d, 1, "lipschitz_upper", 1 - 1e-15)),
    "D of a residual": ("residual", lambda d: d["blocks"][1][2]["D"].__imul__(1.5)),
    "D negative": ("residual", lambda d: d["blocks"][1][2]["D"].__imul__(-1)),
    "L of (10)": ("equilibrium", lambda d: lowered(d, 1, "lipschitz_upper", 0.1)),
    "Λ": ("equilibrium", lambda d: d["proofs"][1]["lam"].__imul__(10)),
    "Λ negative": ("equilibrium", lambda d: d["proofs"][1]["lam"].__imul__(-1)),
    "Γ negative": ("equilibrium", lambda d: d["proofs"][1]["gam"].__imul__(-1)),
    "μ": ("equilibrium", lambda d: lowered(d, 1, "mu_lower", 1.02)),
    "μ zero": ("equilibrium", lambda d: lowered(d, 1, "mu_lower", 0)),
    "W": ("equilibrium", lambda d: d["blocks"][1][2]["W"].__imul__(-1)),
    "G": ("equilibrium", lambda d: d["blocks"][1][2]["G"].__imul__(2)),
    "radii": ("equilibrium", lambda d: d["samples"]["radius_lower"].__imul__(1 + 1e-6)),
    "top-level L": ("residual", lambda d: d.update(lipschitz_upper="1")),
    "another winner": ("activation", lambda d: d["samples"]["predicted"].__iadd__(1).__imod__(3)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_rejected(name, tmp_path):
    base, mutate = MUTANTS[name]
    d = chain(base)
    mutate(d)
    with pytest.raises(Rejected):
        prove_exactly(write(d, tmp_path / "m.certlip"))


def test_what_is_not_rational_is_refused(tmp_path):
    with pytest.raises(Refused, match="tanh has no exact value"):
        prove_exactly(write(small(), tmp_path / "a.certlip"))
    with pytest.raises(Refused, match="order 101"):
        is_semidefinite(np.eye(101, dtype=object))


@pytest.mark.parametrize("seed", range(30))
def test_semidefinite_or_not(seed):
    rng = np.random.default_rng(seed)
    B = np.array([[Fraction(int(v)) for v in row] for row in rng.integers(-3, 4, (4, 3))])
    S = B @ B.T  # singular
    assert is_semidefinite(S)
    shifted = S - np.diag([Fraction(1, 10**30)] * 4)
    assert not is_semidefinite(shifted)
    S = rng.normal(size=(4, 4))
    S = np.array(rational(S + S.T + 3 * np.eye(4)), dtype=object)
    assert is_semidefinite(S) == definite(S.tolist())


@pytest.mark.parametrize("x", [Fraction(0), Fraction(2), Fraction(1, 3), Fraction(10**40, 7)])
def test_roots_from_above(x):
    assert x <= root_up(x) ** 2 <= x + (2 * root_up(x) + 1) / 2**199
