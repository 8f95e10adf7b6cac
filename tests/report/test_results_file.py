"""The rows of a run while they are written: whatever is cut or damaged, whole batches count."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.report import ResultsFile, dumps
from certlip.report import results as module

N, BATCH = 10, 4


def row(i):
    return {"index": i, "name": "é" * (i % 3), "value": 0.1 * i}


def whole(path, n=N):
    file = ResultsFile(path)
    for start in range(0, n, BATCH):
        file.append([row(i) for i in range(start, min(start + BATCH, n))])
    return file


def kept(path, valid=lambda i, row: row["index"] == i):
    file = ResultsFile(path)
    file.keep(BATCH, N, valid)
    return file


def go_on(file):
    for start in range(len(file), N, BATCH):
        file.append([row(i) for i in range(start, min(start + BATCH, N))])
    file.close()


def test_lines_are_those_of_the_format(tmp_path):
    file = whole(tmp_path / "r.jsonl")
    expected = "".join(dumps(row(i)) + "\n" for i in range(N))
    assert (tmp_path / "r.jsonl").read_text("utf-8") == expected
    assert list(file) == [row(i) for i in range(N)] == list(file[:])
    assert file[-1] == row(9)
    assert file[2:7:2] == [row(2), row(4), row(6)]
    with pytest.raises(IndexError):
        file[10]


def test_a_file_without_a_name_is_a_file_like_any_other():
    file = whole(None)
    assert list(file) == [row(i) for i in range(N)]
    assert len(file) == N


def test_cut_after_any_byte_and_written_again_it_is_the_same(tmp_path):
    path = tmp_path / "r.jsonl"
    whole(path).close()
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        file = kept(path)
        lines = sum(end <= size for end in ends)
        assert len(file) == (N if lines == N else lines - lines % BATCH)
        assert list(file) == [row(i) for i in range(len(file))]
        go_on(file)
        assert path.read_bytes() == content


@given(at=st.integers(0, 10**6), byte=st.integers(0, 255), tail=st.binary(max_size=40))
def test_a_damaged_byte_ends_what_counts(tmp_path_factory, at, byte, tail):
    path = tmp_path_factory.mktemp("damaged") / "r.jsonl"
    whole(path).close()
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :] + tail)
    file = kept(path, valid=lambda i, found: found == row(i))
    line = content[:at].count(b"\n")
    undamaged = byte == content[at]
    assert len(file) == (N if undamaged else line - line % BATCH)
    go_on(file)
    assert path.read_bytes() == content


LINES = {
    "nothing": b"",
    "zeros": b"\0" * 50,
    "a list": b"[1]",
    "nested": b"[" * 100_000,
    "not text": b"\xff\xfe",
    "a surrogate": b'{"index": 4, "name": "\\ud800"}',
    "nan": b'{"index": 4, "value": NaN}',
    "a long number": b'{"index": ' + b"4" * 5000 + b"}",
    "other spaces": b'{"index":4,"name":"\xc3\xa9","value":0.4}',
    "another order": b'{"name": "\xc3\xa9", "index": 4, "value": 0.4}',
    "the line of another system": dumps(row(4)).encode() + b"\r",
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_nobody_wrote_ends_what_counts(tmp_path, name):
    path = tmp_path / "r.jsonl"
    whole(path).close()
    lines = path.read_bytes().split(b"\n")
    content = path.read_bytes()
    lines[4] = LINES[name]
    path.write_bytes(b"\n".join(lines))
    file = kept(path)
    assert len(file) == 4
    go_on(file)
    assert path.read_bytes() == content


def test_more_lines_than_samples_are_dropped(tmp_path):
    path = tmp_path / "r.jsonl"
    whole(path, 14).close()
    assert len(kept(path)) == N
    assert len(path.read_bytes().splitlines()) == N


def test_rows_may_be_changed_to_others_of_the_same_length(tmp_path):
    path = tmp_path / "r.jsonl"
    file = whole(path)
    file.change({4: row(4) | {"value": 0.9}, 9: row(9) | {"value": 0.5}})
    assert [r["value"] for r in file if r["index"] in (4, 9)] == [0.9, 0.5]
    assert [r for r in file if r["index"] not in (4, 9)] == [
        row(i) for i in range(N) if i not in (4, 9)
    ]
    with pytest.raises(ValueError, match="row 4"):
        file.change({4: row(4) | {"value": 0.25}})


def test_lines_longer_than_what_is_read_at_once(tmp_path, monkeypatch):
    for size in (1, 2, 7, 64):
        monkeypatch.setattr(module, "CHUNK", size)
        path = tmp_path / f"{size}.jsonl"
        assert list(whole(path)) == [row(i) for i in range(N)]
        path.write_bytes(path.read_bytes()[:-3])
        assert len(kept(path)) == 8


def test_two_readings_at_a_time_do_not_disturb_each_other(tmp_path):
    file = whole(tmp_path / "r.jsonl")
    first, second = iter(file), iter(file)
    next(first)
    assert [r["index"] for r in second] == list(range(N))
    assert [r["index"] for r in first] == list(range(1, N))


def test_a_full_disk_is_one_line_and_what_was_there_counts(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    file = whole(path, 8)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"r\.jsonl: cannot be written \(No space left"):
            file.append([row(8), row(9)])
    assert list(file) == [row(i) for i in range(8)]
    file.append([row(8), row(9)])
    assert list(file) == [row(i) for i in range(N)]


def test_a_system_that_writes_only_a_part_is_asked_again(tmp_path):
    file = whole(tmp_path / "r.jsonl", 4)
    sizes, write = [], file._file.write

    class Short:
        def __getattr__(self, name):
            return getattr(own, name)

        def write(self, text):
            sizes.append(write(text[:7]))
            return sizes[-1]

    own, file._file = file._file, Short()
    file.append([row(i) for i in range(4, N)])
    assert len(sizes) > 5
    assert list(file) == [row(i) for i in range(N)]
    assert (tmp_path / "r.jsonl").read_text("utf-8") == "".join(dumps(r) + "\n" for r in file)


def test_only_one_process_writes(tmp_path):
    pytest.importorskip("fcntl")
    file = whole(tmp_path / "r.jsonl")
    with pytest.raises(InputError, match="another process is writing it"):
        ResultsFile(tmp_path / "r.jsonl")
    file.close()
    assert len(kept(tmp_path / "r.jsonl")) == N


def test_a_folder_that_is_none_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        ResultsFile(tmp_path / "file" / "r.jsonl")
