"""Whatever finds the multipliers, and however wrong it is, nothing is proven that is not true."""

import math

import numpy as np
import pytest
import torch
from conv_nets import conv_mondeq
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, largest_pattern_slope, mondeq_block, parts_with_margin

from certlip.blocks import Network, Origin
from certlip.errors import CertlipError, InconclusiveError, InputError, UnsupportedError
from certlip.linalg.rigorous import is_positive_definite
from certlip.lmi import Conditions, prove
from certlip.lmi.candidate import OPTIMAL, Candidate
from certlip.lmi.check import check, exit_code
from certlip.lmi.closed_form import best_lipschitz, best_multiple
from certlip.lmi.problem import Problem
from certlip.lmi.rules import apply_rule
from certlip.lmi.search import Search
from certlip.lmi.solvers import SOLVERS
from certlip.lmi.solvers.structured import Structured

seeds = st.integers(0, 2**32 - 1)
QUICK = Search("structured", options={"tol": 1e-2})


def proven(block, search=QUICK, lip=None):
    return apply_rule(block, lip=lip, search=search)


def pattern_slopes(W, U, G):
    """The largest ‖G(I − JW)⁻¹JU‖ of each of many blocks (N, …) over all ReLU patterns J."""
    n = W.shape[-1]
    largest = np.zeros(len(G))
    for pattern in np.ndindex(*(2,) * n):
        J = np.array(pattern, dtype=float)[:, None]
        slopes = G @ np.linalg.solve(np.eye(n) - J * W, J * U)
        largest = np.maximum(largest, np.linalg.norm(slopes, 2, axis=(1, 2)))
    return largest


def steepest(W, U, G, rng, steps=30):
    """Slopes between two points found by ascent from random ones, of blocks without a loop (N, …)."""
    n = W.shape[-1]

    def f(x):
        z = torch.zeros(len(W), n).double()
        for _ in range(n):  # W is strictly triangular
            z = torch.relu((W @ z[..., None] + U @ x[..., None])[..., 0])
        return (G @ z[..., None])[..., 0]

    W, U, G = (torch.from_numpy(a) for a in (W, U, G))
    x, d = (torch.from_numpy(rng.standard_normal((len(W), U.shape[-1]))) for _ in "xd")
    best = torch.zeros(len(W)).double()
    for _ in range(steps):
        x, d = x.requires_grad_(), d.requires_grad_()
        slope = (f(x + d) - f(x)).norm(dim=1) / d.norm(dim=1)
        best = torch.maximum(best, slope.detach())
        of_x, of_d = torch.autograd.grad(slope.sum(), (x, d))
        x, d = (x + 0.3 * of_x).detach(), (d + 0.3 * of_d).detach()
    return best.numpy()


# --- a thousand networks -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_no_proven_bound_is_below_any_slope(n):
    """Twice 84 networks: W and U with many output maps, (10) proven of each, some in full."""
    rng = np.random.default_rng(n)
    for share in (0.02, 0.5):
        d = int(rng.integers(1, 4))
        A, B = rng.standard_normal((2, n, n))
        t = 10.0 ** rng.uniform(-1, 1, n)
        W = ((1 - share) * np.eye(n) - A @ A.T / n + B - B.T) * t / t[:, None]
        U, G = rng.standard_normal((n, d)), rng.standard_normal((84, 1, n))
        truth = pattern_slopes(W[None], U[None], G)
        problem = Problem.of_rows(block_of(W, U, np.eye(n)), torch.from_numpy(G[:, 0]))
        for k, candidate in enumerate(Structured(tol=0.1).minimise(problem)):
            block, lip = block_of(W, U, G[k]), candidate.lip * (1 + 1e-9)
            assert is_positive_definite(Conditions(block).lipschitz(candidate.lam, lip)), k
            assert lip >= truth[k], k
        assert proven(block).lip.value >= truth[-1]


def test_no_proven_bound_is_below_a_slope_found_by_ascent():
    rng = np.random.default_rng(0)
    W, U, G = (rng.standard_normal(s) for s in ((60, 5, 5), (60, 5, 2), (60, 2, 5)))
    W = np.tril(W, -1)
    found = steepest(W, U, G, rng)
    truth = pattern_slopes(W, U, G)
    assert (found <= truth * (1 + 1e-9)).all()
    assert np.median(found / truth) > 0.3
    for k in range(0, 60, 10):
        assert proven(block_of(W[k], U[k], G[k])).lip.value >= max(found[k], truth[k])


def test_a_difference_of_shifted_relus_has_a_bound_of_at_least_one():
    """A multiplier that coupled the two would "prove" 8·10⁻⁶."""
    block = block_of(np.zeros((2, 2)), [[1.0], [1.0]], [[1.0, -1.0]], b_z=np.array([0.0, -1.0]))
    for search in (Search("structured"), Search("cvxpy", "clarabel"), Search()):
        assert 1.0 <= proven(block, search).lip.value <= 1.0 + 1e-4
    for lip in (0.5, 0.999999):
        with pytest.raises(InconclusiveError):
            proven(block, Search("structured"), lip)


@settings(max_examples=3)
@given(seed=seeds, excess=st.floats(0.0, 3.0), n=st.integers(1, 4))
def test_a_block_with_an_eigenvalue_beyond_one_is_never_well_posed(seed, excess, n):
    W = np.random.default_rng(seed).standard_normal((n, n))
    W += (1.0 + excess - np.linalg.eigvals(W).real.max() + 1e-12) * np.eye(n)
    block = block_of(W, np.eye(n), np.eye(n))
    rows, bound = check(Network([block]), ("3", "4", "10"), searches=[QUICK])
    assert bound is None
    assert [row["outcome"] for row in rows] == ["unknown"] * 3
    assert exit_code(rows) == 3


@pytest.mark.parametrize(
    "W", [[[2.0]], [[1.0]], [[0.0, 1.0], [1.0, 0.0]], [[0.0, 2.0], [3.0, 0.0]]]
)
@pytest.mark.parametrize("method", ["structured", "cvxpy"])
def test_no_method_makes_an_ill_posed_block_well_posed(W, method):
    block = block_of(W, np.eye(len(W)), 0.1 * np.eye(len(W)))
    with pytest.raises(InconclusiveError):
        proven(block, Search(method))


# --- solvers that lie ----------------------------------------------------------------------------

BLOCK = mondeq_block(0)
HONEST = Structured().minimise(Problem.of(BLOCK))[0]
TRUTH = largest_pattern_slope(BLOCK)

LIES = {
    "an infeasible Λ": (np.ones(6) * 1e3, HONEST.lip),
    "a Λ far too small": (np.ones(6) * 1e-9, HONEST.lip),
    "a skewed Λ": (HONEST.lam * np.array([1, 1, 1, 1, 1, 1e6]), HONEST.lip),
    "a negative multiplier": (HONEST.lam * np.array([1, 1, 1, 1, 1, -1]), HONEST.lip),
    "all negative": (-HONEST.lam, HONEST.lip),
    "a zero": (HONEST.lam * np.array([1, 1, 0, 1, 1, 1]), HONEST.lip),
    "NaN": (HONEST.lam * np.array([1, np.nan, 1, 1, 1, 1]), HONEST.lip),
    "infinity": (HONEST.lam * np.array([1, np.inf, 1, 1, 1, 1]), HONEST.lip),
    "nothing": (None, HONEST.lip),
    "one multiplier": (HONEST.lam[:1], HONEST.lip),
    "a number": (np.float64(1.0), HONEST.lip),
    "too many": (np.append(HONEST.lam, 1.0), HONEST.lip),
    "a row": (HONEST.lam[None], HONEST.lip),
    "L = 0": (HONEST.lam, 0.0),
    "L < 0": (HONEST.lam, -HONEST.lip),
    "L = NaN": (HONEST.lam, math.nan),
    "L = ∞": (HONEST.lam, math.inf),
    "a far too small L": (HONEST.lam, HONEST.lip * 1e-8),
    "a denormal L": (HONEST.lam, 5e-324),
    "a huge Λ": (HONEST.lam * 1e300, HONEST.lip),
}
#: Some of them still lead to a bound, after L was raised.
PROVABLE = {"a far too small L"}


@pytest.fixture
def liar(monkeypatch):
    """A solver that answers "optimal" with the given Λ and L."""

    def register(lam, lip):
        class Liar(Structured):
            name = "liar"

            def minimise(self, problem, start=None):
                return [Candidate(lam, lip, OPTIMAL, "liar", 1, 0.0, 0.0)]

            def feasible(self, problem, lip, start=None):
                return self.minimise(problem, start)

        monkeypatch.setitem(SOLVERS, "liar", Liar)
        return Search("structured", "liar")

    return register


@pytest.mark.parametrize("origin", [None, BLOCK.origin])
@pytest.mark.parametrize("lie", LIES)
def test_a_solver_that_lies_proves_nothing_below_the_truth(lie, origin, liar):
    search = liar(*LIES[lie])
    block = block_of(BLOCK.W, BLOCK.U, BLOCK.G, origin=origin)
    for lip in (None, 0.99 * TRUTH):
        rows, bound = check(Network([block]), ("10",), lip=lip, searches=[search])
        if bound is not None:
            assert lip is None
            assert bound.value >= TRUTH
        else:
            (row,) = rows
            assert row["outcome"] == "unknown"  # the solver's failure refutes nothing
            assert "liar" in row["reason"] or "(10)" in row["reason"]
            assert exit_code(rows) == 3
    if lie not in PROVABLE and "Λ" not in lie:
        with pytest.raises(InconclusiveError):
            proven(block, search)


def test_a_prescribed_l_uses_multipliers_of_a_liar_for_what_they_are_worth(liar):
    search = liar(HONEST.lam, 1e-9)
    assert proven(BLOCK, search, HONEST.lip * (1 + 1e-6)).lip.value == HONEST.lip * (1 + 1e-6)
    with pytest.raises(InconclusiveError):
        proven(BLOCK, search, 0.5 * TRUTH)


def test_a_solver_that_is_too_small_for_the_block_is_unsupported(monkeypatch):
    class Small(Structured):
        capabilities = Structured.capabilities.__class__(gpu=True, starts=True, largest=5)

    monkeypatch.setitem(SOLVERS, "structured", Small)
    with pytest.raises(UnsupportedError, match="takes up to 5 multipliers: got 6"):
        proven(BLOCK)


# --- what a search is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("guess",), "method 'guess': expected one of auto, analytic, structured, cvxpy"),
        (
            ("structured", "scs"),
            "solver 'scs' with method 'structured': expected one of: structured",
        ),
        (("cvxpy", "structured"), "expected one of: clarabel, scs, mosek"),
        (("analytic", "scs"), "expected one of: none"),
        (("structured", None, {"tols": 1e-3}), "did you mean 'tol'"),
        (("auto", None, {"tols": 1e-3}), "did you mean 'tol'"),
        (("analytic", None, {"tol": 1e-3}), "'analytic' has no option 'tol'"),
        (("structured", None, {"tol": 2.0}), r"tol = 2.0: expected one in \(0, 1\)"),
    ],
)
def test_a_search_that_cannot_be_is_refused_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        Search(*arguments)


def test_auto_is_the_formula_where_there_is_one_and_the_solver_elsewhere():
    assert proven(BLOCK, Search()).method == "analytic"
    unknown = block_of(BLOCK.W, BLOCK.U, BLOCK.G)
    own = proven(unknown, Search())
    assert (own.method, own.solver) == ("structured", "structured")
    assert own.lip.value <= proven(BLOCK, Search()).lip.value
    assert own.lip.value == pytest.approx(proven(BLOCK, Search("structured")).lip.value, rel=1e-5)


def test_options_reach_the_solver():
    block = block_of(*(parts_with_margin(0)[0][name] for name in "WUG"))
    rough, fine = (proven(block, Search("structured", options={"tol": t})) for t in (0.5, 1e-6))
    assert rough.lip.value > fine.lip.value * 1.001


@pytest.mark.parametrize("search", [QUICK, Search("cvxpy", options={"tol": 1e-6})])
def test_the_margin_of_monotonicity_is_one_in_the_metric_that_was_found(search):
    W, U, G = (parts_with_margin(3)[0][name] for name in "WUG")
    assert np.linalg.eigvalsh(2 * np.eye(5) - W - W.T)[0] < 0
    own = proven(block_of(W, U, G), search)
    root = np.sqrt(own.gam)
    half = root[:, None] * (np.eye(5) - W) / root
    true = np.linalg.eigvalsh(half + half.T)[0] / 2
    assert 0.9 * true < own.mu.value < true


def test_a_formula_that_cannot_be_used_does_not_stop_the_solver():
    """An origin whose Γ violates (3): the formula is refuted, multipliers exist all the same."""
    parts, _ = parts_with_margin(2)
    wrong = Origin(
        "lben", {"lip": 1.0}, {"psi": torch.tensor([1e4, 1e-4, 1e4, 1e-4, 1e4]).double()}
    )
    block = block_of(parts["W"], parts["U"], parts["G"], origin=wrong)
    with pytest.raises(CertlipError):
        proven(block, Search())
    own = proven(block, Search("structured"))
    assert own.lip.value >= largest_pattern_slope(block)
    assert own.family == "structured"
    gam, source = Search("structured").monotone(block)
    assert source == "structured"
    half = gam[:, None] * (np.eye(5) - parts["W"])
    assert np.linalg.eigvalsh(half + half.T)[0] > 0


def test_a_search_for_gamma_says_whose_it_is():
    assert Search().monotone(BLOCK)[1] == "mondeq"
    assert Search("structured").monotone(BLOCK)[1] == "mondeq"
    unknown = block_of(BLOCK.W, BLOCK.U, BLOCK.G)
    assert Search("cvxpy", options={"tol": 1e-4}).monotone(unknown)[1] == "structured"
    with pytest.raises(InconclusiveError, match="no Γ"):
        Search().monotone(block_of([[3.0]], [[1.0]], [[1.0]]))


def test_a_convolution_is_proven_with_a_multiplier_per_channel():
    block = conv_mondeq(1)
    formula, own = proven(block, Search("analytic")), proven(block, Search("structured"))
    assert own.lip.value <= formula.lip.value
    assert own.lam.shape == (block.n,)
    network = Network([block])
    assert prove(network, search=Search("structured")).lip.value == own.lip.value


@pytest.mark.parametrize("exponent", [-300, -160, 160])
@pytest.mark.filterwarnings("error")
def test_numbers_that_overflow_are_undecided(exponent):
    W, U, G = (parts_with_margin(3)[0][name] for name in "WUG")
    for block in (
        block_of(W, U * 10.0**exponent, G),
        block_of(W, U, G * 10.0**exponent),
        block_of(W * 10.0**exponent, U, G),
    ):
        try:
            own = proven(block, Search("structured"))
        except InconclusiveError:
            continue
        assert own.lip.value >= largest_pattern_slope(block)


# --- closed forms --------------------------------------------------------------------------------


@settings(max_examples=3)
@given(seed=seeds)
def test_the_best_bound_of_given_multipliers_is_where_the_condition_turns(seed):
    parts, _ = parts_with_margin(seed)
    block = block_of(parts["W"], parts["U"], parts["G"])
    lip = best_lipschitz(Problem.of(block), parts["lam"])
    assert lip <= 2.0 * (1 + 1e-9)
    W, U, G, Lam = parts["W"], parts["U"], parts["G"], np.diag(parts["lam"])
    half = Lam - Lam @ W
    for factor, sign in ((1 - 1e-6, -1), (1 + 1e-6, 1)):
        M = half + half.T - (G.T @ G + Lam @ U @ U.T @ Lam) / (lip * factor)
        assert sign * np.linalg.eigvalsh(M)[0] > 0
    t, least = best_multiple(Problem.of(block), parts["lam"])
    assert least <= lip * (1 + 1e-9)
    assert best_lipschitz(Problem.of(block), t * parts["lam"]) == pytest.approx(least, rel=1e-9)
    for s in (0.5, 0.99, 1.01, 2.0):
        assert best_lipschitz(Problem.of(block), s * t * parts["lam"]) >= least * (1 - 1e-9)


def test_multipliers_that_violate_3_have_no_bound():
    problem = Problem.of(block_of([[2.0]], [[1.0]], [[1.0]]))
    assert best_lipschitz(problem, np.ones(1)) == math.inf
    assert best_multiple(problem, np.ones(1)) == (1.0, math.inf)


@pytest.mark.parametrize(("u", "g"), [(0, 1), (1, 0), (0, 0)])
def test_a_constant_map_has_any_multiple(u, g):
    problem = Problem.of(block_of([[0.5]], [[u]], [[g]]))
    t, lip = best_multiple(problem, np.ones(1))
    assert t == 1.0
    assert 0.0 <= lip <= 1.0


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_closed_forms_that_overflow_are_infinite(size):
    problem = Problem.of(block_of([[0.5]], [[size]], [[1.0]]))
    assert best_lipschitz(problem, np.ones(1)) == math.inf
    assert best_multiple(problem, np.ones(1))[1] == math.inf
