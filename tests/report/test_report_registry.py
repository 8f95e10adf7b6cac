"""The registry of formats, and writing whole files."""

from __future__ import annotations

import inspect
import json
import sys

import pytest

import certlip.report
from certlip.errors import InputError
from certlip.report import FORMATS, ReportFormat, get_format, write

# One row per format: what its text starts with.
ROWS = {
    "json": "{\n",
    "jsonl": '{"index": 0,',
    "html": "<!DOCTYPE html>",
    "md": "## certlip: not met\n\nruns\\/lben\\.pt on digits",
    "junit": '<?xml version="1.0" encoding="utf-8"?>\n<testsuites name="certlip" tests="3"',
    "sarif": '{\n  "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/',
    "card": '---\nlibrary_name: "certlip"\ntags:\n  - "certified-robustness"',
    "github": "::notice title=certlip%3A met::runs/lben.pt: certification: ",
}


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


def test_a_folder_that_cannot_be_made_is_said(tmp_path, document) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write("json", tmp_path / "file" / "report.json", document, [])
    write("json", tmp_path / "new" / "report.json", document, [])
    assert json.loads((tmp_path / "new" / "report.json").read_text())
