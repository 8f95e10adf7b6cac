"""The GitHub Action and the examples for CI use what exists, and do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from certlip_cli.config_keys import keys_of, name_variables
from certlip_cli.gate_words import parse_gates
from certlip_cli.main import app

from certlip.report import FORMATS

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / "action.yml"
FILES = [ACTION, *sorted((ROOT / "examples" / "ci").iterdir())]
COMMAND = re.compile(r"certlip ([a-z][a-z-]+)((?: +(?:\"[^\"]*\"|[^\s|;&\"]+))*)")


def commands():
    parser = typer.main.get_command(app)
    name_variables(parser.commands)
    return parser.commands


def texts(value):
    """Every text of a document."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


def scripts(path):
    """What of a file runs in a shell."""
    found = []

    def look(value):
        if isinstance(value, dict):
            found.extend(value[key] for key in ("run", "entry") if key in value)
            for part in value.values():
                look(part)
        elif isinstance(value, list):
            for part in value:
                look(part)

    look(yaml.safe_load(path.read_text("utf-8")))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_commands_and_options_exist(path):
    known = commands()
    for script in scripts(path):
        for name, rest in COMMAND.findall(script):
            options = {o for p in known[name].params for o in p.opts}
            given = re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)
            assert set(given) <= options, (path, name)
            for formats in re.findall(r"--format (\S+)", rest):
                assert set(formats.split(",")) <= set(FORMATS)
    variables = {v for c in known.values() for p in c.params for v in p.envvar or ()}
    assert set(re.findall(r"CERTLIP_[A-Z_]+", path.read_text("utf-8"))) <= variables


def test_they_use_certlip_at_all():
    names = {
        path.name: [name for script in scripts(path) for name, _ in COMMAND.findall(script)]
        for path in FILES
    }
    assert names["action.yml"] == ["certify", "report"]
    assert names["pre-commit-config.yaml"] == ["check-lmi", "certify"]


def test_inputs_are_declared_used_and_never_parts_of_a_script():
    action = yaml.safe_load(ACTION.read_text("utf-8"))
    used = set(re.findall(r"inputs\.([\w-]+)", " ".join(texts(action))))
    assert used == set(action["inputs"])
    assert not any("${{" in script for script in scripts(ACTION))
    keys = keys_of(commands()["certify"])
    assert used - {"config", "requirement", "python-version"} <= set(keys)
    [step] = [s for s in action["runs"]["steps"] if s.get("id") == "certify"]
    own = set(step["env"].values())
    assert own >= {f"${{{{ inputs.{n} }}}}" for n in used & set(keys)}
    workflow = yaml.safe_load((ROOT / "examples" / "ci" / "github-workflow.yml").read_text("utf-8"))
    steps = workflow["jobs"]["certify"]["steps"]
    [own] = [step for step in steps if "certlip@" in step.get("uses", "")]
    assert set(own["with"]) <= set(action["inputs"])
    assert len(parse_gates(own["with"]["gates"])) == 2
    outputs = re.findall(r"steps\.certlip\.outputs\.([\w-]+)", " ".join(texts(workflow)))
    assert set(outputs) <= set(action["outputs"])


@pytest.mark.parametrize(
    ("gate", "code"), [("lipschitz_upper <= 2", 0), ("lipschitz_upper <= 0.1", 1), ("sure", 2)]
)
def test_the_script_of_the_action(story, tmp_path, gate, code):
    [script] = [s for s in scripts(ACTION) if "certlip certify" in s]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    inputs = {
        "CERTLIP_CERTIFY_MODEL": str(story / "sll" / "model.pt"),
        "CERTLIP_CERTIFY_DATASET": "digits",
        "CERTLIP_CERTIFY_EPS": "",
        "CERTLIP_CERTIFY_LIMIT": "20",
        "CERTLIP_CERTIFY_GATES": gate,
        "CERTLIP_CERTIFY_REPORT": "a report",
        "CERTLIP_CONFIG": "",
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env={**os.environ, **inputs, "PATH": path, "GITHUB_OUTPUT": str(tmp_path / "output")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert (tmp_path / "output").read_text() == f"exit-code={code}\n"
    assert (tmp_path / "a report" / "report.sarif").exists() == (code < 2)
