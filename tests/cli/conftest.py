"""Digits to certify, the command line that does, and what a run writes that nothing stops."""

from __future__ import annotations

import numpy as np
import pytest
from resumed import N, content

from certlip import data


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """600 digits as a dataset: two whole batches and a part of one."""
    part = data.load("digits", split="all", limit=N)
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, x=part.x, y=part.label)
    return f"npz:{path}"


@pytest.fixture(scope="session")
def line(story, digits):
    """`line(name, folder)`: the command line that certifies a model of the story, but for `--resume`."""

    def of(name, folder, *more):
        return (
            *("certify", story / name / "model.pt", "--dataset", digits, "--falsify", 3),
            *("--steps", 3, "--report", folder / "r", *more),
        )

    return of


@pytest.fixture(scope="session")
def uninterrupted(line, tmp_path_factory):
    """What a run of each model writes when nothing happens to it."""
    from certlip_cli.main import run

    found = {}
    for name in ("sll", "lben"):
        folder = tmp_path_factory.mktemp(name)
        what = line(name, folder, "--certificate", folder / "c.certlip", "-q")
        assert run([str(word) for word in what]) == 0
        found[name] = content(folder)
        assert set(found[name]) == {
            *("run.json", "results.jsonl", "report.json", "report.html", "c.certlip")
        }
    return found
