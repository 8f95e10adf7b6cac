"""Settings files: who comes first, what is refused, and what is shown."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shown(certlip, *line):
    result = certlip(*line, "--print-config", "--json")
    assert result.code == 0, result.err
    return {key: (row["value"], row["from"]) for key, row in result.document["config"].items()}


def refused(certlip, *line):
    result = certlip(*line)
    assert result.code == 2, result.err
    assert len(result.err.strip().splitlines()) == 1, result.err
    return result.err


def test_precedence(certlip, tmp_path, monkeypatch):
    assert shown(certlip, "certify")["seed"] == (0, "default")
    (tmp_path / "certlip.toml").write_text("seed = 3\n[certify]\nlimit = 7\n")
    assert shown(certlip, "certify")["seed"] == (3, "certlip.toml")
    assert shown(certlip, "certify")["limit"] == (7, "certlip.toml")
    assert "limit" not in shown(certlip, "check-lmi")
    (tmp_path / "certlip.toml").write_text("seed = 3\n[certify]\nseed = 4\n")
    assert shown(certlip, "certify")["seed"] == (4, "certlip.toml")
    assert shown(certlip, "check-lmi")["seed"] == (3, "certlip.toml")
    monkeypatch.setenv("CERTLIP_SEED", "5")
    assert shown(certlip, "certify")["seed"] == (5, "environment CERTLIP_SEED")
    monkeypatch.setenv("CERTLIP_CERTIFY_SEED", "6")
    assert shown(certlip, "certify")["seed"] == (6, "environment CERTLIP_CERTIFY_SEED")
    assert shown(certlip, "check-lmi")["seed"] == (5, "environment CERTLIP_SEED")
    assert shown(certlip, "certify", "--seed", 8)["seed"] == (8, "command line")


def test_what_the_file_says_is_what_runs(certlip, story, tmp_path):
    text = (
        f"threads = 1\n[certify]\nmodel = {json.dumps(str(story / 'sll' / 'model.pt'))}\n"
        'dataset = "digits"\nlimit = 20\nfalsify = 0\nattacks = "pgd"\neps = "0.1"\n'
    )
    (tmp_path / "certlip.toml").write_text(text)
    document = certlip("certify", "--json").document
    assert document["data"]["n"] == 20
    assert list(document["certified_accuracy"]) == ["0.1"]
    assert certlip("certify", "--limit", 5, "--json").document["data"]["n"] == 5
    assert shown(certlip, "lipschitz", "--no-pairs")["pairs"] == (False, "command line")
    (tmp_path / "certlip.toml").write_text("[lipschitz]\npairs = false\ntol = 1\n")
    assert shown(certlip, "lipschitz")["pairs"] == (False, "certlip.toml")
    assert shown(certlip, "lipschitz")["tol"] == (1.0, "certlip.toml")


def test_the_nearest_file_and_paths_relative_to_it(certlip, tmp_path, monkeypatch):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.certlip]\ndata-dir = "data"\n[tool.certlip.certify]\nmodel = "runs/m.pt"\n'
        'dataset = "npz:data/x.npz"\n'
    )
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    monkeypatch.chdir(below)
    found = shown(certlip, "certify")
    assert found["data-dir"] == ("../../data", str(tmp_path / "pyproject.toml"))
    assert found["model"][0] == "../../runs/m.pt"
    assert found["dataset"][0] == "npz:../../data/x.npz"
    (tmp_path / "a" / "certlip.toml").write_text('[certify]\nmodel = "my.module:factory"\n')
    found = shown(certlip, "certify")
    assert found["data-dir"] == (None, "default")
    assert found["model"][0] == "my.module:factory"
    (tmp_path / "ci.toml").write_text("seed = 9")
    assert shown(certlip, "certify", "--config", tmp_path / "ci.toml")["seed"][0] == 9
    monkeypatch.setenv("CERTLIP_CONFIG", str(tmp_path / "ci.toml"))
    assert shown(certlip, "certify")["seed"][0] == 9


BAD = {
    "sed = 1": "certlip.toml: unknown key 'sed'; did you mean 'seed'?",
    "limit = 1": "it belongs into a table: [train] limit or",
    "[certify]\nesp = '1'": "[certify] unknown key 'esp'; did you mean 'eps'?",
    "[certifi]\neps = '1'": "did you mean 'certify'?",
    "[check_lmi]\nmethod = 'auto'": "did you mean 'check-lmi'?",
    "[certify]\nfail_under = '1=1'": "did you mean 'fail-under'?",
    "json = true": "unknown key 'json'",
    "[certify]\ndebug = true": "unknown key 'debug'",
    "seed = '1'": "seed is '1'; expected a whole number",
    "seed = true": "seed is True; expected a whole number",
    "seed = 1.5": "seed is 1.5; expected a whole number",
    "quiet = 1": "quiet is 1; expected true or false",
    "device = 0": "device is 0; expected a text",
    "[certify]\nreport = 1": "[certify] report is 1; expected a path, as a text",
    "[certify]\neps = ['1']": "[certify] eps is ['1']; expected a text",
    "[lipschitz]\ntol = nan": "[lipschitz] tol is nan; expected a number",
    "certify = 1": "certify is '1'; expected a table",
    "gates = [1]": "gates is 1; expected a text, or a list of them",
    "seed = -1": "certlip.toml: --seed -1: expected a number from 0",
    "seed = ": "certlip.toml: not TOML",
    "seed = 1\nseed = 2": "certlip.toml: not TOML",
}


@pytest.mark.parametrize("content", BAD)
def test_what_is_refused(certlip, tmp_path, content):
    (tmp_path / "certlip.toml").write_text(content)
    # whatever command runs, since what is misspelt may be a gate
    assert BAD[content] in refused(certlip, "doctor")


def test_other_refusals(certlip, tmp_path, monkeypatch):
    assert "none.toml: cannot be read" in refused(certlip, "doctor", "--config", "none.toml")
    (tmp_path / "pyproject.toml").write_text("[tool]\n")
    line = ("doctor", "--config", "pyproject.toml")
    assert "has no table [tool.certlip]" in refused(certlip, *line)
    (tmp_path / "pyproject.toml").write_text("[tool]\ncertlip = 1\n")
    assert "tool.certlip is '1'; expected a table" in refused(certlip, "doctor")
    (tmp_path / "pyproject.toml").write_bytes(b"\xff")
    assert "pyproject.toml: not TOML (not UTF-8)" in refused(certlip, "doctor")
    (tmp_path / "pyproject.toml").write_text("a = " + "[" * 100_000)
    assert "pyproject.toml: not TOML" in refused(certlip, "doctor")
    (tmp_path / "pyproject.toml").write_text("#" * (1 << 20) + "\n")
    assert "expected settings" in refused(certlip, "doctor")
    (tmp_path / "pyproject.toml").unlink()
    monkeypatch.setenv("CERTLIP_CERTIFY_FAIL_UNDR", "1=1")
    assert "did you mean 'CERTLIP_CERTIFY_FAIL_UNDER'?" in refused(certlip, "doctor")
    monkeypatch.delenv("CERTLIP_CERTIFY_FAIL_UNDR")
    monkeypatch.setenv("CERTLIP_SEED", "ten")
    assert "environment CERTLIP_SEED: " in refused(certlip, "doctor")
    monkeypatch.setenv("CERTLIP_SEED", "-1")
    assert "environment CERTLIP_SEED: --seed -1" in refused(certlip, "doctor")


def test_variables_of_the_environment_take_texts_and_switches(certlip, monkeypatch):
    monkeypatch.setenv("CERTLIP_DATA_DIR", "somewhere")
    monkeypatch.setenv("CERTLIP_QUIET", "1")
    monkeypatch.setenv("CERTLIP_CHECK_LMI_LIPSCHITZ", "2.5")
    found = shown(certlip, "check-lmi")
    assert found["quiet"] == (True, "environment CERTLIP_QUIET")
    assert found["lipschitz"] == (2.5, "environment CERTLIP_CHECK_LMI_LIPSCHITZ")
    assert shown(certlip, "certify")["data-dir"][0] == "somewhere"


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_a_file_or_one_line(text):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from certlip_cli.config import read

    from certlip.errors import InputError

    with TemporaryDirectory() as folder:
        path = Path(folder) / "certlip.toml"
        path.write_text(text, "utf-8")
        try:
            tomllib.loads(path.read_bytes().decode("utf-8"))
        except ValueError:
            with pytest.raises(InputError, match=": not TOML"):
                read(path)
        else:
            assert isinstance(read(path).content, dict)


def test_init_writes_a_file_that_works(certlip, tmp_path):
    assert certlip("init").code == 0
    text = (tmp_path / "certlip.toml").read_text("utf-8")
    assert tomllib.loads(text) == {}
    assert shown(certlip, "certify")["eps"] == (None, "default")
    assert "exists" in refused(certlip, "init")
    assert (tmp_path / "certlip.toml").read_text("utf-8") == text
    # all that is commented out are keys of the commands
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    begin = next(k for k, line in enumerate(lines) if line.startswith("seed = "))
    kept = [line for line in lines[begin:] if line and (line[0] in '[]" ' or " = " in line)]
    (tmp_path / "certlip.toml").write_text("\n".join(kept), "utf-8")
    found = shown(certlip, "certify")
    assert found["eps"] == ("36/255,72/255,108/255,1", "certlip.toml")
    assert found["gates"][0].count(";") == 3
