"""`check-lmi` with every way to find multipliers: what it proves, what it writes, how it exits."""

import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lmi"))

from lmi_nets import block_of, largest_pattern_slope, mondeq_block

from certlip.blocks import Network, save
from certlip.lmi.candidate import OPTIMAL, Candidate
from certlip.lmi.solvers import SOLVERS
from certlip.lmi.solvers.structured import Structured
from certlip.report import load_schema

BLOCK = mondeq_block(0)
TRUTH = float(largest_pattern_slope(BLOCK))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods")
    save(Network([BLOCK]), folder / "mondeq.pt")
    save(Network([block_of(BLOCK.W, BLOCK.U, BLOCK.G)]), folder / "unknown.pt")
    save(Network([block_of([[2.0]], [[1.0]], [[1.0]])]), folder / "ill.pt")
    return folder


def upper(result):
    value = result.document["lipschitz_upper"]
    return None if value is None else float(value)


@pytest.mark.parametrize("model", ["mondeq", "unknown"])
@pytest.mark.parametrize("method", ["auto", "analytic", "structured", "cvxpy"])
def test_every_method(method, model, certlip, models):
    line = ("check-lmi", models / f"{model}.pt", "--method", method, "--condition", "3,4,10")
    result = certlip(*line, "--json")
    jsonschema.validate(result.document, load_schema("check-lmi-1"))
    document = result.document
    assert document["settings"]["methods"] == [method]
    assert [row["condition"] for row in document["blocks"]] == ["3", "4", "10"]
    if (model, method) == ("unknown", "analytic"):
        assert result.code == 3
        assert upper(result) is None
        assert all(row["outcome"] == "unknown" and row["reason"] for row in document["blocks"])
        return
    assert result.code == 0
    formula = method == "analytic" or (method == "auto" and model == "mondeq")
    for row in document["blocks"][1:]:
        assert row["method"] == (
            "analytic" if formula else "structured" if method == "auto" else method
        )
        assert (row["solver"] is None) == formula
        assert row["proven"] is True
        assert float(row["lipschitz_upper"]) == upper(result)
        assert row["lipschitz_claimed"] <= upper(result)
        assert float(row["slack_lower"]) >= 0
        assert row["n"] == 6
        assert row["seconds"] > 0
    assert upper(result) >= TRUTH


def test_several_methods_in_one_run_give_a_row_each_and_the_best_bound(certlip, models):
    line = ("check-lmi", models / "unknown.pt", "--condition", "10", "--json")
    result = certlip(*line, "--method", "analytic,structured,cvxpy", "--solver", "clarabel")
    assert result.code == 0  # one that proves it is enough
    rows = result.document["blocks"]
    assert [row["outcome"] for row in rows] == ["unknown", "proven", "proven"]
    assert [row["solver"] for row in rows] == [None, "structured", "clarabel"]
    assert upper(result) == min(float(row["lipschitz_upper"]) for row in rows[1:])


@pytest.mark.parametrize("solver", ["clarabel", "scs"])
def test_a_solver_by_name(solver, certlip, models):
    if SOLVERS[solver].missing():
        pytest.skip(SOLVERS[solver].missing())
    line = ("check-lmi", models / "unknown.pt", "--method", "cvxpy", "--solver", solver, "--json")
    result = certlip(*line)
    assert result.code == 0
    assert result.document["blocks"][-1]["solver"] == solver


def test_options_reach_the_solver(certlip, models):
    line = ("check-lmi", models / "unknown.pt", "--method", "structured", "--condition", "10")
    bounds = [
        upper(certlip(*line, "--json", "--solver-option", f"tol={tol}")) for tol in (0.5, "1e-7")
    ]
    assert bounds[0] > bounds[1] * 1.001
    stopped = certlip(*line, "--json", "--solver-option", "max_seconds=0")
    assert stopped.code == 0
    assert upper(stopped) > bounds[1]


@pytest.mark.parametrize(
    "line",
    [
        "--method guess",
        "--method structured,",
        "--method structured --solver scs",
        "--solver clarabel",
        "--method cvxpy --solver simplex",
        "--method cvxpy --solver structured",
        "--method structured --solver-option tol",
        "--method structured --solver-option =1",
        "--method structured --solver-option toll=1e-3",
        "--method structured --solver-option tol=-1",
        "--method structured --solver-option tol=0",
        "--method structured --solver-option tol=nan",
        "--method structured --solver-option tol=small",
        "--method structured --solver-option tol=true",
        "--method structured --solver-option max_seconds=nan",
        "--method structured --solver-option max_seconds=soon",
        "--method cvxpy --solver scs --solver-option eps=1",
        "--method structured,cvxpy --solver-option tol=1e-3",
        "--method analytic --solver-option tol=1e-3",
        "--solver-option tol=1e-3",
        "--lipschitz 0 --method structured",
        "--lipschitz inf --method structured",
    ],
)
def test_wrong_usage_is_refused_in_one_line(line, certlip, models):
    result = certlip("check-lmi", models / "unknown.pt", *line.split())
    assert result.code == 2
    assert "Traceback" not in result.err
    assert result.out == ""
    assert len(result.err.strip().splitlines()) == 1, result.err


@pytest.mark.parametrize("method", ["structured", "cvxpy"])
@pytest.mark.parametrize("model", ["mondeq", "unknown"])
def test_a_prescribed_l_is_reached_or_undecided(model, method, certlip, models):
    line = ("check-lmi", models / f"{model}.pt", "--method", method, "--condition", "10", "--json")
    least = upper(certlip(*line))
    reached = certlip(*line, "--lipschitz", repr(least * 1.01))
    assert reached.code == 0
    assert upper(reached) == least * 1.01
    beyond = certlip(*line, "--lipschitz", repr(TRUTH * 0.9))
    assert beyond.code == 3
    assert upper(beyond) is None
    assert beyond.document["blocks"][0]["outcome"] == "unknown"


def test_a_formula_that_is_refuted_stays_refuted(certlip, models):
    line = ("check-lmi", models / "mondeq.pt", "--lipschitz", TRUTH * 0.5, "--json")
    for method, code in (
        ("analytic", 1),
        ("auto", 1),
        ("structured", 3),
        ("analytic,structured", 1),
    ):
        assert certlip(*line, "--method", method).code == code, method


@pytest.mark.parametrize("method", ["auto", "structured", "cvxpy"])
def test_an_ill_posed_block_is_never_proven(method, certlip, models):
    result = certlip("check-lmi", models / "ill.pt", "--method", method, "--json")
    assert result.code == 3
    assert upper(result) is None


@pytest.mark.parametrize("lie", [1e3, -1e3, np.nan, 0.0])
def test_a_solver_that_lies_is_inconclusive(lie, certlip, models, monkeypatch):
    class Liar(Structured):
        def minimise(self, problem, start=None):
            return [Candidate(np.full(problem.n, lie), 1e-3, OPTIMAL, "structured", 1, 0.0, 0.0)]

    monkeypatch.setitem(SOLVERS, "structured", Liar)
    line = ("check-lmi", models / "unknown.pt", "--method", "structured", "--condition", "10")
    result = certlip(*line, "--json")
    assert result.code == 3
    assert upper(result) is None


def test_the_published_model_has_a_smaller_bound_than_its_formula(shared_data, certlip, tmp_path):
    source, path = shared_data / "models" / "semimondeq_mnist.mat", tmp_path / "model.pt"
    convert = ("convert", source, "--from", "semimondeq", "--set", "m=20", "--out", path)
    assert certlip(*convert).code == 0
    line = ("check-lmi", path, "--method", "analytic,structured", "--condition", "10", "--json")
    result = certlip(*line)
    assert result.code == 0
    formula, own = (row for row in result.document["blocks"] if row["condition"] == "10")
    assert float(formula["lipschitz_upper"]) == pytest.approx(4.807625, rel=1e-6)
    assert 3.6810 < float(own["lipschitz_upper"]) <= 3.68107
    assert upper(result) <= 11.94765
