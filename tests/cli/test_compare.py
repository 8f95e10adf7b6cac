"""`certlip compare` and gates on what an earlier run reached."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction

import jsonschema
import pytest
from certlip_cli.gate_words import parse_gates
from certlip_cli.gates import judge
from certlip_cli.measured import Measured

from certlip.errors import InputError
from certlip.report import load_schema


@pytest.fixture
def runs(story, tmp_path, monkeypatch):
    """The folders `old` and `new` with copies of finished runs."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(story / "sll-report", "old")
    shutil.copytree(story / "lben-report", "new")
    return tmp_path


def change(folder, **changes):
    path = folder / "report.json"
    document = json.loads(path.read_text("utf-8"))
    for key, value in changes.items():
        *tables, last = key.split("__")
        target = document
        for table in tables:
            target = target[table]
        target[last] = value
    path.write_text(json.dumps(document), "utf-8")


def edit_rows(folder, edit):
    path = folder / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    edit(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_samples_gained_and_lost_add_up(certlip, runs):
    result = certlip("compare", "old", "new", "--json")
    assert result.code == 0
    document = result.document
    jsonschema.validate(document, load_schema("compare-1"))
    assert document["data"]["n"] == 60
    samples = document["samples"]
    for eps, shares in document["certified_accuracy"].items():
        net = samples["gained"][eps] - samples["lost"][eps]
        assert round(60 * shares["difference"]) == net
    assert samples["radius_larger"] + samples["radius_smaller"] > 0
    back = certlip("compare", "new", "old", "--json").document["samples"]
    assert (back["gained"], back["lost"]) == (samples["lost"], samples["gained"])
    assert back["radius_larger"] == samples["radius_smaller"]


def test_a_planted_change_is_counted(certlip, runs):
    shutil.rmtree("new")
    shutil.copytree("old", "new")

    def lose(rows):
        certified = [row for row in rows if row["status"] == "certified"]
        certified[0].update(status="unknown", radius_lower="0.0")
        certified[1]["radius_lower"] = "100.0"

    edit_rows(runs / "new", lose)
    samples = certlip("compare", "old", "new", "--json").document["samples"]
    assert samples["statuses"] == {"certified -> unknown": 1}
    assert (samples["radius_larger"], samples["radius_smaller"]) == (1, 1)
    text = certlip("compare", "old", "new").err
    assert "certified → unknown" in text
    (runs / "new" / "results.jsonl").unlink()
    assert certlip("compare", "old", "new", "--json").document["samples"] is None


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ("max_drop 0", 0),
        ("max_drop 1", 0),
        ("lipschitz_upper <= 1.001", 0),
        ("lipschitz_upper <= 0.5", 1),
        ("natural_accuracy >= 0.1; certified_accuracy@36/255 >= 0.1", 0),
        ("natural_accuracy >= 1", 1),
        ("certified_accuracy@72/510 >= 0.1", 0),
    ],
)
def test_gates(certlip, runs, gate, code):
    line = ("compare", "old", "old", "--gates", gate)
    for extra in ((), ("--json",), ("-q",)):
        assert certlip(*line, *extra).code == code


def test_a_drop_fails_with_1_and_is_undecided_with_3(certlip, runs):
    shutil.rmtree("new")
    shutil.copytree("old", "new")
    document = json.loads((runs / "old" / "report.json").read_text("utf-8"))
    stated = {k: round(v * 60) for k, v in document["certified_accuracy"].items()}
    fewer = {k: max(c - 3, 0) / 60 for k, c in stated.items()}
    change(runs / "new", certified_accuracy=fewer)
    (runs / "new" / "results.jsonl").unlink()
    assert certlip("compare", "old", "new", "--gates", "max_drop 0.05").code == 0
    assert certlip("compare", "old", "new", "--gates", "max_drop 0.0499").code == 1
    assert certlip("compare", "new", "old", "--gates", "max_drop 0").code == 0
    change(runs / "new", counts__unknown=2)
    assert certlip("compare", "old", "new", "--gates", "max_drop 0.02").code == 3
    assert certlip("compare", "old", "new", "--gates", "max_drop 0.01").code == 1
    assert certlip("compare", "old", "new", "--gates", "max_drop 0.04 vs new").code == 0


DIFFERENT = {
    "data__sha256": "ab" * 32,
    "data__shape": [3, 4],
    "settings__norm": "linf",
    "settings__semantics": "float32",
}


@pytest.mark.parametrize("key", DIFFERENT)
def test_other_data_or_models_are_refused_in_one_line(certlip, runs, key):
    change(runs / "new", **{key: DIFFERENT[key]})
    result = certlip("compare", "old", "new")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert "expected the same" in result.err


def test_other_refusals(certlip, runs):
    assert certlip("compare", "old", "none").code == 2
    for gate in ("max_drop 2", "max_drop -1", "lipschitz <= 1", "certified_accuracy@1 > 0.1"):
        result = certlip("compare", "old", "new", "--gates", gate)
        assert (result.code, len(result.err.splitlines())) == (2, 1)
    result = certlip("compare", "old", "new", "--gates", "certified_accuracy@0.7 >= 0.1")
    assert "no certified accuracy there" in result.err
    edit_rows(runs / "new", lambda rows: rows.pop())
    assert "row 59 is another sample" in certlip("compare", "old", "new").err
    edit_rows(runs / "old", lambda rows: rows.pop())
    assert "has 59 rows; expected 60" in certlip("compare", "old", "new").err
    edit_rows(runs / "old", lambda rows: rows[0].update(radius_lower="big", status="certified"))
    assert certlip("compare", "old", "new").code == 2
    change(runs / "old", status="interrupted", exit_code=130)
    assert certlip("compare", "old", "new").code == 3
    change(runs / "new", exit_code=5)
    assert certlip("compare", "new", "new").code == 5


def test_a_gate_of_the_settings_file_fails_at_its_line(certlip, story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(story / "sll-report", tmp_path / "baseline")
    (tmp_path / "sub").mkdir()
    (tmp_path / "certlip.toml").write_text(
        '# "lipschitz_upper <= 0.5" is asked below\n'
        'gates = [\n  "max_drop 0.01 vs baseline",\n  "lipschitz_upper <= 0.5",\n]\n'
        '[certify]\ndataset = "digits"\nlimit = 60\nfalsify = 0\nreport = "run"\n'
    )
    monkeypatch.chdir(tmp_path / "sub")
    line = ("certify", story / "sll" / "model.pt", "--threads", 1, "--json")
    result = certlip(*line)
    assert result.code == 1, result.err
    drop, bound = result.document["gates"]
    assert (drop["passed"], drop["actual"], drop["line"]) == (True, 0.0, 3)
    assert (bound["passed"], bound["line"]) == (False, 4)
    jsonschema.validate(result.document, load_schema("certify-1"))
    monkeypatch.chdir(tmp_path)
    assert certlip("report", "run", "--format", "sarif,github").code == 1
    log = json.loads((tmp_path / "run" / "report.sarif").read_text("utf-8"))
    [only] = log["runs"][0]["results"]
    place = only["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "certlip.toml"},
        "region": {"startLine": 4},
    }
    assert ",file=certlip.toml,line=4::" in certlip("report", "run", "--format", "github").err
    # the command line replaces the gates of the file; other data are refused before any work
    assert certlip(*line, "--gates", "lipschitz_upper <= 2").code == 0
    result = certlip(*line, "--limit", 5)
    assert (result.code, "expected the same" in result.err) == (2, True)


def test_a_drop_is_judged_exactly():
    """0.55 − 0.54 is 0.01, whatever its double is."""
    before = Measured(100, 90, {Fraction(1): 55}, 0, "1.0")

    def verdict(certified, correct, undecided=0):
        after = Measured(100, correct, {Fraction(1): certified}, undecided, "1.0")
        gate = parse_gates("natural_accuracy >= 0.1")[0]
        from certlip_cli.gates import DropGate

        drop = DropGate("max_drop 0.01", Fraction("0.01"), before=before)
        return judge(after, [gate, drop])[1]

    assert verdict(54, 90) == 0
    assert verdict(53, 90) == 1
    assert verdict(55, 88) == 1
    assert verdict(53, 90, undecided=1) == 3
    assert verdict(53, 88, undecided=1) == 1
    with pytest.raises(InputError, match="max_drop SHARE vs FILE"):
        parse_gates("max_drop 0.01")
