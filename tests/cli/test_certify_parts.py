"""Batches in parts are found, whole, in whatever order they lie there and whatever follows them."""

from __future__ import annotations

import numpy as np
import pytest
from certlip_cli.parts import Part, Parts, part_numbers
from certlip_cli.session import Session
from certlip_cli.streaming import batches, certify_rest, missing, stream_to
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.certification import Radii, Status, sample_rows
from certlip.certification.enclosure.network import ROWS
from certlip.data import Dataset
from certlip.errors import InputError
from certlip.report import ResultsFile

N = 3 * ROWS + 5
BLOCKS = [0, 2]


def session():
    return Session(0, "cpu", None, json_output=False, quiet=True, verbose=False)


@pytest.fixture(scope="module")
def known():
    """A dataset, and the rows and states of its batches."""
    rng = np.random.default_rng(4)
    label = rng.integers(0, 3, N)
    data = Dataset("d", "test", rng.random((N, 4)), label, 3, (4,))
    found = {}
    for batch in batches(data):
        n, radius = len(batch), rng.random(len(batch)) + 0.1
        status = np.full(n, Status.CERTIFIED, dtype=object)
        own = label[batch.start : batch.stop]
        states = {k: rng.random((n, 3 + k)) for k in BLOCKS}
        radii = Radii(own, own, status, radius, radius, rng.random(n), states)
        found[batch.start] = sample_rows(radii, batch.start), states
    return data, found


def written(folder, known, order, numbers):
    """Parts with the batches in this order, each in the part of its number."""
    parts = {i: Part(folder, i, BLOCKS) for i in sorted(set(numbers))}
    for start, i in zip(order, numbers, strict=True):
        parts[i].append(*known[start])
    for part in parts.values():
        part.close()


def same(batch, other):
    (rows, states), (own, mine) = batch, other
    return rows == own and all(np.array_equal(states[k], mine[k]) for k in BLOCKS)


@settings(max_examples=15)
@given(
    order=st.permutations(range(0, N, ROWS)),
    numbers=st.lists(st.integers(0, 11), min_size=4, max_size=4),
    kept=st.integers(0, 4),
    tail=st.binary(max_size=20),
    cut=st.integers(0, 100),
)
def test_whole_batches_are_found(known, tmp_path_factory, order, numbers, kept, tail, cut):
    data, batch = known
    folder = tmp_path_factory.mktemp("parts")
    written(folder, batch, order[:kept], numbers[:kept])
    assert part_numbers(folder) == sorted(set(numbers[:kept]))
    lost = {order[kept - 1]} if kept and cut else set()
    if kept:  # killed while the last batch was written
        path = folder / f"results.part{numbers[kept - 1]}.jsonl"
        text = path.read_bytes()
        path.write_bytes(text[: len(text) - cut] + (b"" if cut else tail))
    parts = Parts(data, folder, BLOCKS)
    for start in batch:
        assert (start in parts) == (start in set(order[:kept]) - lost)
        if start in parts:
            assert same(parts.batch(start), batch[start])
    parts.remove()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("block", BLOCKS)
def test_rows_without_their_states_do_not_count(known, tmp_path, block):
    data, batch = known
    written(tmp_path, batch, [ROWS, 0], [0, 0])
    path = tmp_path / f"states{block}.part0.f64"
    path.write_bytes(path.read_bytes()[:-1])
    parts = Parts(data, tmp_path, BLOCKS)
    assert [start for start in batch if start in parts] == [ROWS]
    assert same(parts.batch(ROWS), batch[ROWS])
    parts.close()


@pytest.mark.parametrize("index", [b"1", b"-256", b"1024", b"null", b"true", b"0.0", b'"0"'])
def test_a_batch_of_another_place_does_not_count(known, tmp_path, index):
    data, batch = known
    written(tmp_path, batch, [0], [0])
    path = tmp_path / "results.part0.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"index": 0,', b'"index": ' + index + b",", 1))
    parts = Parts(data, tmp_path, BLOCKS)
    assert not any(start in parts for start in batch)
    parts.close()


def test_a_batch_without_its_first_row_does_not_count(known, tmp_path):
    data, batch = known
    written(tmp_path, batch, [0, ROWS], [0, 0])
    path = tmp_path / "results.part0.jsonl"
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    parts = Parts(data, tmp_path, BLOCKS)
    assert not any(start in parts for start in range(N))
    parts.close()


def test_results_in_another_order_are_kept_as_far_as_they_are_in_order(known, tmp_path):
    _, batch = known
    file = ResultsFile(tmp_path / "r")
    for start in (0, 2 * ROWS, ROWS):
        file.append(batch[start][0])
    file.keep(ROWS, N, lambda i, row: row["index"] == i)
    assert list(file) == batch[0][0]
    file.close()


def test_the_parts_are_put_in_order_and_only_the_rest_is_certified(known, tmp_path):
    data, batch = known
    certified = []

    def certifier(x, label, *, keep_states):
        start = next(i for i in batch if np.array_equal(data.x[i : i + len(x)], x))
        certified.append(start)
        rows, states = batch[start]
        radius = np.array([float(row["radius_lower"]) for row in rows])
        status = np.full(len(x), Status.CERTIFIED, dtype=object)
        residual = np.array([row["residual"] for row in rows])
        return Radii(label, label, status, radius, radius, residual, states)

    (tmp_path / "run.json").write_text("{}")
    written(tmp_path, batch, [3 * ROWS, 0, 2 * ROWS], [5, 7, 5])
    with stream_to(session(), data, tmp_path, {}, resume=True, blocks=BLOCKS) as stream:
        assert [b.start for b in missing(stream, data)] == [ROWS]
        certify_rest(session(), certifier, data, stream)
        assert certified == [ROWS]
        assert stream.timed == ROWS
        assert list(stream.rows) == [row for rows, _ in batch.values() for row in rows]
        for k, z in stream.states.read().items():
            assert np.array_equal(z, np.concatenate([states[k] for _, states in batch.values()]))
        assert part_numbers(tmp_path) == []
    stream.rows.close()
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "results.jsonl"}


def test_a_new_run_takes_old_parts_away(known, tmp_path):
    data, batch = known
    written(tmp_path, batch, [0], [0])
    with stream_to(session(), data, tmp_path, {}, resume=False, blocks=BLOCKS) as stream:
        assert len(missing(stream, data)) == len(batch)
        assert part_numbers(tmp_path) == []
    stream.rows.close()


def test_a_part_that_is_written_is_not_read(known, tmp_path):
    pytest.importorskip("fcntl")
    data, batch = known
    written(tmp_path, batch, [0], [0])
    part = Part(tmp_path, 0, BLOCKS)
    with pytest.raises(InputError, match="another process is writing it"):
        Parts(data, tmp_path, BLOCKS)
    part.close()
