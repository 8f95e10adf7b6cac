"""What the documentation shows works: every block of a page is run, in order, in an empty folder."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.M | re.S)


DOCS = ROOT / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "guides").glob("*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if BLOCK.search(page.read_text("utf-8"))])
def test_every_block_of_a_page_runs(page, tmp_path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(tmp_path)}
    environment.pop("GITHUB_ACTIONS", None)
    state = tmp_path / "said.py"  # blocks of Python go on from each other
    state.write_text("")
    for language, code in BLOCK.findall(page.read_text("utf-8")):
        if language == "python":
            state.write_text(state.read_text() + code)
        command = ["sh", "-ec", code] if language == "sh" else [sys.executable, str(state)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"


def test_the_steps_of_the_readme_run(tmp_path):
    text = (ROOT / "README.md").read_text("utf-8").partition("## On a model of your own")[2]
    clone, steps = (code for _, code in BLOCK.findall(text.partition("\n## ")[0]))
    assert "pip install" in clone
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", steps],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "accepted" in done.stderr + done.stdout
    assert "data:image/png" in (tmp_path / "mine" / "report.html").read_text("utf-8")


def test_the_tutorial_has_blocks_of_both_kinds():
    found = [language for language, _ in BLOCK.findall(PAGES[0].read_text("utf-8"))]
    assert found.count("sh") >= 7
    assert "python" in found


def test_examples_run(tmp_path):
    scripts = sorted((ROOT / "examples").glob("*.py"))
    assert scripts
    for script in scripts:
        assert len(script.read_text("utf-8").splitlines()) < 80
        done = subprocess.run(
            [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"


@pytest.mark.parametrize("page", sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md")))
def test_every_page_is_in_the_navigation(page):
    assert f": {page}" in (ROOT / "mkdocs.yml").read_text("utf-8")


def test_every_command_is_documented():
    names = importlib.import_module("certlip_cli.main").COMMANDS
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name in names:
        assert f"`certlip {name.replace('_', '-')}" in text


def test_the_page_of_commands_has_every_option():
    hooks = runpy.run_path(str(DOCS / "hooks.py"))
    text = hooks["commands"]()
    app: Any = typer.main.get_command(importlib.import_module("certlip_cli.main").app)
    shared = text.partition("## Options of every command")[2].partition("## ")[0]
    for name, parser in app.commands.items():
        own = text.partition(f"## certlip {name}\n")[2].partition("\n## ")[0]
        assert parser.help.strip() in own
        for parameter in parser.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                place = own + shared
                assert all(option in place for option in parameter.opts), (name, parameter.opts)
        assert "`--out <path>`" in own or not any(p.name == "out" for p in parser.params)
    assert f": {hooks['PAGE']}" in (ROOT / "mkdocs.yml").read_text("utf-8")


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
