"""The registry of formats, and writing whole files."""

from __future__ import annotations

import inspect
import json
import os
import sys
from pathlib import Path

import pytest

import certlip.report
from certlip.errors import InputError
from certlip.report import FORMATS, ReportFormat, atomic_write_text, get_format, write

# One row per format: what its text starts with.
ROWS = {"json": "{\n", "jsonl": '{"index": 0,', "html": "<!DOCTYPE html>"}


def test_every_format_has_a_row() -> None:
    assert set(ROWS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_format_keeps_its_promises(name, document, samples, before, tmp_path) -> None:
    form = get_format(name)
    assert isinstance(form, ReportFormat)
    assert not inspect.isabstract(type(form))
    assert form.name == name
    assert form.suffix.startswith(".")
    assert type(form).__doc__
    path = tmp_path / f"report{form.suffix}"
    write(name, path, document, samples, [before])
    text = path.read_text("utf-8")
    assert text.startswith(ROWS[name])
    assert text.endswith("\n")
    assert text == form.render(document, samples, [before])  # deterministic
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", FORMATS)
def test_zero_samples(name, empty_document) -> None:
    assert isinstance(FORMATS[name].render(empty_document, []), str)


def test_public_names_exist() -> None:
    assert all(hasattr(certlip.report, name) for name in certlip.report.__all__)


def test_unknown_format() -> None:
    with pytest.raises(InputError, match=r"'htm' is unknown \(did you mean 'html'\?\).*json"):
        get_format("htm")


def test_importing_is_light() -> None:
    code = (
        "import sys, certlip.report, certlip.data; "
        "print([m for m in ('matplotlib', 'jinja2', 'sklearn', 'torch') if m in sys.modules])"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["json", "html"])
def test_old_file_survives_a_failed_rendering(name, document, samples, tmp_path) -> None:
    path = tmp_path / "report"
    path.write_text("old")
    bad = document | {"certified_accuracy": {1: 0.5}} if name == "json" else {"schema": "other"}
    with pytest.raises((InputError, TypeError)):
        write(name, path, bad, samples)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_old_file_survives_a_failed_replacement(tmp_path, monkeypatch) -> None:
    path = tmp_path / "report"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        atomic_write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_kept_or_ordinary(tmp_path) -> None:
    path = tmp_path / "report"
    atomic_write_text(path, "ε = 36/255\n")
    assert path.read_bytes() == "ε = 36/255\n".encode()
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    path.chmod(0o640)
    atomic_write_text(path, "new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_missing_folder_is_not_made(tmp_path, document) -> None:
    with pytest.raises(FileNotFoundError):
        write("json", tmp_path / "absent" / "report.json", document, [])
    json.dumps(document)
