"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from certlip.errors import InputError
from certlip.files import atomic, replace_file


def text(content):
    return lambda path: path.write_bytes(content.encode("utf-8"))


@pytest.mark.parametrize("write", [replace_file, atomic])
def test_the_old_file_survives_a_failed_replacement(write, tmp_path, monkeypatch):
    path = tmp_path / "report"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises((OSError, InputError), match="disk full"):
        write(path, text("new"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_survives_a_writer_that_fails_half_way(tmp_path):
    path = tmp_path / "report"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("ne")
        raise RuntimeError("unexpected pos 64 vs 0")  # torch, on a full disk

    with pytest.raises(InputError, match=r"report: cannot be written \(unexpected pos"):
        atomic(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_kept_or_ordinary(tmp_path):
    path = tmp_path / "report"
    replace_file(path, text("ε = 36/255\n"))
    assert path.read_bytes() == "ε = 36/255\n".encode()
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    path.chmod(0o640)
    replace_file(path, text("new"))
    assert path.stat().st_mode & 0o777 == 0o640


def test_folders_are_made_on_request_only(tmp_path):
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "a" / "b", text("x"))
    atomic(tmp_path / "a" / "b", text("x"))
    assert (tmp_path / "a" / "b").read_text() == "x"
    with pytest.raises(InputError, match="cannot be written"):
        atomic(tmp_path / "a" / "b" / "c", text("x"))
