"""Tar archives: every compression, and archives that want to do harm."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from certlip.data import file_tree, tar_tree
from certlip.data.file_tree import FolderTree
from certlip.data.tar_tree import TarTree
from certlip.errors import InputError


def make(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo, mode: Any = "w") -> TarTree:
    with tarfile.open(path, mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return TarTree(path)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_compressions(tmp_path: Path, mode: str) -> None:
    hidden = ((".x", b""), ("a/._b", b""), ("__MACOSX/a/b", b""))
    folder = special("a", tarfile.DIRTYPE)
    tree = make(tmp_path / "t", ("b/y", b"2"), folder, *hidden, ("./a/x", b"11"), mode=mode)
    assert tree.names() == ["a/x", "b/y"]
    assert dict(tree.contents(["a/x", "b/y"], 2)) == {"a/x": b"11", "b/y": b"2"}
    assert dict(tree.contents(["b/y"], 1)) == {"b/y": b"2"}
    with pytest.raises(InputError, match="'a/x' has 2 bytes; expected at most 1"):
        list(tree.contents(["a/x"], 1))
    with pytest.raises(InputError, match="'a/z' is missing"):
        list(tree.contents(["a/z"], 1))


HOSTILE = {
    "absolute": ((("/etc/passwd", b""),), "'/etc/passwd' points out of the archive"),
    "upwards": ((("a/../../b", b""),), r"'a/../../b' points out of the archive"),
    "twice": ((("a/b", b"1"), ("./a/b", b"2")), "two members 'a/b'; expected one"),
    "link": ((special("a/b", tarfile.SYMTYPE, "/etc/passwd"),), "'a/b' is a link or a device"),
    "hard link": ((special("a/b", tarfile.LNKTYPE, "a/c"),), "is a link or a device"),
    "device": ((special("a/b", tarfile.CHRTYPE),), "is a link or a device"),
    "pipe": ((special("a/b", tarfile.FIFOTYPE),), "is a link or a device"),
    "escape": ((special("a/\x1b[2Jb", tarfile.FIFOTYPE),), r"'a/\\x1b\[2Jb' is a link"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members(tmp_path: Path, case: str) -> None:
    members, message = HOSTILE[case]
    with pytest.raises(InputError, match=message):
        make(tmp_path / "t.tar", *members).names()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:1024] + b"\xff" * 512 + d[1536:],  # the second header
        lambda d: d[:1024],  # after the first member
        lambda d: d[:1500],
        lambda d: d[:700],
        lambda d: b"",
        lambda d: b"PK" + d[2:],
        lambda d: gzip.compress(d)[:-4],
        lambda d: gzip.compress(d)[:-8] + bytes(8),
    ],
)
def test_damage(tmp_path: Path, change: Any) -> None:
    make(tmp_path / "t.tar", ("a/b", b"1"), ("a/c", b"2"))
    data = (tmp_path / "t.tar").read_bytes()
    (tmp_path / "t.tar").write_bytes(change(data))
    with pytest.raises(InputError, match=r"t.tar: .*expected a whole"):
        TarTree(tmp_path / "t.tar").names()


def test_long_headers_are_not_read(tmp_path: Path) -> None:
    info = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 300 * 2**20
    with gzip.open(tmp_path / "t.tar.gz", "wb", 1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(2**20))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="a header of 314,572,800 bytes"):
            TarTree(tmp_path / "t.tar.gz").names()
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make(tmp_path / "t.tar.gz", ("a/b", bytes(99_000)), ("a/c", b"2"), mode="w:gz")
    monkeypatch.setattr(tar_tree, "MAX_BYTES", 50_000)
    with pytest.raises(InputError, match="expected at most 50,000 bytes, expanded"):
        tree.names()
    monkeypatch.undo()
    monkeypatch.setattr(tar_tree, "MAX_MEMBERS", 1)
    with pytest.raises(InputError, match="expected at most 1 members"):
        tree.names()


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"11")
    (tmp_path / ".hidden").write_bytes(b"")
    tree = FolderTree(tmp_path)
    assert tree.names() == ["a/x"]
    assert list(tree.contents(["a/x"], 2)) == [("a/x", b"11")]
    with pytest.raises(InputError, match="'a/x' has 2 bytes; expected at most 1"):
        list(tree.contents(["a/x"], 1))
    with pytest.raises(InputError, match="'a' is missing"):
        list(tree.contents(["a"], 1))
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    with pytest.raises(InputError, match=f"nests deeper than {file_tree.MAX_DEPTH - 1} folders"):
        tree.names()
    with pytest.raises(InputError, match="No such file or directory; expected a folder"):
        FolderTree(tmp_path / "none").names()
