"""What the documentation shows works: every block of the tutorial is run, in order, in an empty folder."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.M | re.S)


def test_tutorial_runs(tmp_path):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    blocks = BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text("utf-8"))
    assert len(blocks) >= 7
    for language, code in blocks:
        command = ["sh", "-ec", code] if language == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
    assert (tmp_path / "result.json").read_text().startswith("{")


def test_examples_run(tmp_path):
    scripts = sorted((ROOT / "examples").glob("*.py"))
    assert scripts
    for script in scripts:
        assert len(script.read_text("utf-8").splitlines()) < 80
        done = subprocess.run(
            [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"


@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "docs").glob("*.md")))
def test_every_page_is_in_the_navigation(page):
    assert f": {page}" in (ROOT / "mkdocs.yml").read_text("utf-8")


def test_every_command_is_documented():
    names = importlib.import_module("certlip_cli.main").COMMANDS
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name in names:
        assert f"`certlip {name.replace('_', '-')}" in text


def test_every_family_is_documented():
    from certlip.models import MODELS, NAMED

    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name in (*MODELS, *NAMED):
        assert f"`{name}`" in text


def test_every_name_of_the_api_page_exists():
    names = re.findall(r"^::: (.+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.M)
    assert len(names) >= 10
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in text
    assert "make test" in text
    assert (ROOT / "docs" / "img" / "report.png").is_file()
    assert shutil.which("make")
