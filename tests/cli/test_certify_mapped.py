"""Data that lies mapped in a file: certified like any other, unless it changes on the way."""

from __future__ import annotations

import json

import numpy as np

from certlip import data
from certlip.certification import Certifier


def test_packed_or_mapped_the_rows_are_the_same(certlip, story, tmp_path):
    part = data.load("digits", limit=300)
    rows = []
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "d.npz", x=part.x, y=part.label)
        folder = tmp_path / write.__name__
        model, name = story / "sll" / "model.pt", f"npz:{tmp_path / 'd.npz'}"
        assert certlip("certify", model, "--dataset", name, "--report", folder).code == 0
        document = json.loads((folder / "report.json").read_text())
        assert document["data"]["sha256"] == part.sha256()
        rows.append((folder / "results.jsonl").read_bytes())
    assert rows[0] == rows[1]


def test_data_that_change_while_they_are_certified_are_refused(
    certlip, story, tmp_path, monkeypatch
):
    part = data.load("digits", limit=300)
    path = tmp_path / "d.npz"
    np.savez(path, x=part.x, y=part.label)
    original = Certifier.__call__

    def call(self, *args, **options):
        with path.open("r+b") as file:
            file.seek(path.read_bytes().index(part.x.tobytes()))
            file.write(np.float64(0.5).tobytes())
        monkeypatch.setattr(Certifier, "__call__", original)
        return original(self, *args, **options)

    monkeypatch.setattr(Certifier, "__call__", call)
    model, report = story / "sll" / "model.pt", tmp_path / "r"
    result = certlip("certify", model, "--dataset", f"npz:{path}", "--report", report)
    assert result.code == 2
    [said] = result.err.strip().splitlines()
    assert "changed while it was certified" in said
    assert not (report / "report.json").exists()
