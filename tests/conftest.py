"""What many tests share: real data of others where it is there, a small trained model, the command line."""

from __future__ import annotations

import importlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

# CI runs the same examples every time; elsewhere every run tries new ones
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def _one_thread_of_chance():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data and trained models of others."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no folder {SHARED_DATA.relative_to(ROOT.parent)} beside the checkout")
    return SHARED_DATA


@dataclass
class Result:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        return json.loads(self.out)


@pytest.fixture
def certlip(capsys):
    """Runs a command line in this process: `certlip("certify", path, …) -> Result`."""
    run = importlib.import_module("certlip_cli.main").run

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def story(tmp_path_factory) -> Path:
    """A folder with a small SLL network trained on digits, its fine-tuned LBEN and certificates."""
    run = importlib.import_module("certlip_cli.main").run
    folder = tmp_path_factory.mktemp("story")
    sll, lben = str(folder / "sll"), str(folder / "lben")
    lines = [
        ["train", "--dataset", "digits", "--epochs", "12", "--out", sll],
        ["finetune", f"{sll}/model.pt", "--epochs", "1", "--limit", "200", "--out", lben],
    ]
    for name in (sll, lben):
        what = f"certify {name}/model.pt --dataset digits --limit 60 --falsify 4"
        lines.append(
            [*what.split(), "--certificate", f"{name}.certlip", "--report", f"{name}-report"]
        )
    for line in lines:
        assert run([*line, "-q"]) == 0, line
    return folder
