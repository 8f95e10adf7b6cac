"""Certifying into files takes the same memory for any number of samples."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from certify_nets import NETWORKS, samples
from certlip_cli.session import Session
from certlip_cli.streaming import certify_rest, stream_to

from certlip.certification import (
    Certifier,
    Tally,
    certify,
    parse_eps,
    radii_of_rows,
    sample_rows,
    state_blocks,
)
from certlip.certification.enclosure.network import ROWS
from certlip.data import Dataset
from certlip.lmi import prove


def session():
    return Session(0, "cpu", None, json_output=False, quiet=True, verbose=False)


@pytest.mark.parametrize("name", ["explicit", "triangular", "lben"])
@pytest.mark.parametrize("n", [1, ROWS, 2 * ROWS + 77])
def test_a_stream_is_what_certify_returns(name, n):
    network = NETWORKS[name](3)
    proof = prove(network)
    x, label = samples(network, n)
    data = Dataset("d", "test", x, label, network.classes, (4,))
    radii = certify(network, proof, x, label, keep_states=True)
    with stream_to(session(), data, None, {}, resume=False, blocks=state_blocks(network)) as stream:
        certify_rest(session(), Certifier(network, proof), data, stream)
        assert list(stream.rows) == sample_rows(radii)
        back = radii_of_rows(stream.rows, stream.states.read())
        assert stream.timed == n
        assert sorted(back.states) == sorted(radii.states)
    for k, z in radii.states.items():
        assert np.array_equal(back.states[k], z)
    assert np.array_equal(back.radius_lower, radii.radius_lower)


def test_memory_does_not_grow_with_the_samples(tmp_path):
    """20 times the samples, on disk, certified and counted: the peak stays where it was."""
    network = NETWORKS["lben"](3)
    proof, eps = prove(network), parse_eps("0.1,1")
    certifier = Certifier(network, proof)
    x, label = samples(network, ROWS)
    peaks = {}
    for batches in (4, 4, 80):  # the first run fills caches
        n = batches * ROWS
        stored = np.memmap(tmp_path / f"{n}.f64", dtype=np.float64, mode="w+", shape=(n, 4))
        stored[:] = np.tile(x, (batches, 1))
        data = Dataset("d", "test", stored, np.tile(label, batches), 3, (4,))
        folder = tmp_path / f"run{n}"
        tracemalloc.start()
        try:
            options = {"resume": False, "blocks": state_blocks(network)}
            with stream_to(session(), data, folder, {"schema": "x"}, **options) as stream:
                certify_rest(session(), certifier, data, stream)
                counted = Tally.of(stream.rows, eps)
            peaks[batches] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert counted.n == n
        assert counted.correct == batches * Tally.of(list(stream.rows[:ROWS]), eps).correct
        stream.rows.close()
    assert peaks[80] < 1.2 * peaks[4] + 100_000, peaks
