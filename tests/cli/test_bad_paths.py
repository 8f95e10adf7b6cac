"""Paths that cannot even be looked at, or that are read: exit code 2, one line, nothing replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

LONG = "a" * 300

LINES = {
    "verify": ("verify", LONG),
    "report": ("report", LONG),
    "compare": ("compare", LONG, LONG),
    "inspect": ("inspect", LONG),
    "convert": ("convert", LONG, "--from", "onnx", "--out", "m.pt"),
    "out": ("train", "--family", "sll", "--dataset", "digits", "--out", LONG),
    "recipe": ("train", "--recipe", f"{LONG}.toml", "--out", "run"),
    "config": ("doctor", "--config", LONG),
    "doctor": ("doctor", "--data-dir", LONG),
    "mnist": ("certify", "MODEL", "--dataset", "mnist", "--data-dir", LONG),
    "folder": ("certify", "MODEL", "--dataset", f"folder:{LONG}"),
    "npz": ("certify", "MODEL", "--dataset", f"npz:{LONG}.npz"),
    "report folder": ("certify", "MODEL", "--dataset", "digits", "--report", LONG),
}


@pytest.mark.parametrize("name", LINES)
def test_a_name_that_is_too_long(name, certlip, story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = [str(story / "sll" / "model.pt") if word == "MODEL" else word for word in LINES[name]]
    result = certlip(*line)
    assert result.code == 2
    last = result.err.splitlines()[-1]
    assert last.startswith("certlip: ")
    assert LONG[:200] in last
    assert "too long" in last
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_may_not_be_searched(certlip, tmp_path, monkeypatch):
    path, original = tmp_path / "m.certlip", Path.is_file

    def is_file(self):
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return original(self)

    monkeypatch.setattr(Path, "is_file", is_file)
    result = certlip("verify", path)
    assert result.code == 2
    assert result.err == f"certlip: {path}: cannot be used (Permission denied)\n"


@pytest.mark.parametrize(
    "line",
    [
        ("certify", "run/model.pt", "--dataset", "digits", "--certificate", "run/model.pt"),
        ("certify", "run/model.pt", "--dataset", "digits", "--certificate", "link.pt"),
        ("finetune", "run/model.pt", "--out", "run"),
        ("convert", "run/model.pt", "--from", "mondeq-2020", "--out", "run/../run/model.pt"),
    ],
)
def test_what_is_read_is_not_replaced(line, certlip, story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    shutil.copy(story / "sll" / "model.pt", "run/model.pt")
    Path("link.pt").symlink_to("run/model.pt")
    content = Path("run/model.pt").read_bytes()
    result = certlip(*line)
    assert result.code == 2
    assert "is the model that is read; expected another file" in result.err
    assert Path("run/model.pt").read_bytes() == content
    assert [p.name for p in Path("run").iterdir()] == ["model.pt"]
