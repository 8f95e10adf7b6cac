"""Real runs, finished and interrupted, in every form: valid by the published schemas, one exit code."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
import xmlschema

from certlip import certification as certification_room
from certlip.blocks import Affine, Network, save
from certlip.certification import Certifier
from certlip.report import FORMATS, load_schema

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"
GATES = {
    0: "natural_accuracy >= 0.5",
    1: "certified_accuracy@36/255 >= 0.99; natural_accuracy >= 0.5",
    3: "certified_accuracy@1/1000 >= 0.99",
    5: "natural_accuracy >= 0.5",
}


@pytest.fixture
def line(tmp_path):
    """`line(ties, n)`: certifies n points in the unit square, some of them with tied logits."""
    save(Network([Affine(torch.eye(2).double(), torch.zeros(2).double())]), tmp_path / "m.pt")

    def of(ties=0, n=40):
        x = np.random.default_rng(0).uniform(size=(n, 2))
        x[:ties] = 0.5
        np.savez(tmp_path / "d.npz", x=x, y=x.argmax(axis=1))
        where = ("--dataset", f"npz:{tmp_path / 'd.npz'}", "--report", tmp_path / "r")
        return ("certify", tmp_path / "m.pt", *where)

    return of


class TooLarge(Certifier):
    """Every radius twice as large."""

    def __call__(self, *args, **options):
        radii = super().__call__(*args, **options)
        object.__setattr__(radii, "radius_lower", 2.0 * radii.radius_lower)
        return radii


def checked(folder):
    """What lies in a folder of reports, each by its schema."""
    xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd").validate(folder / "report.junit.xml")
    sarif = json.loads((SCHEMAS / "sarif-2.1.0-rtm.5.json").read_text("utf-8"))
    jsonschema.Draft4Validator(sarif).validate(json.loads((folder / "report.sarif").read_text()))
    document = json.loads((folder / "report.json").read_text("utf-8"))
    jsonschema.validate(document, load_schema("certify-1"))
    return document


@pytest.mark.parametrize("code", GATES)
def test_every_form_has_the_code_of_the_run(certlip, line, tmp_path, monkeypatch, code):
    if code == 5:
        monkeypatch.setattr(certification_room, "Certifier", TooLarge)
    run = certlip(*line(ties=4 if code == 3 else 0), "--gates", GATES[code], "--json")
    assert run.code == run.document["exit_code"] == code, run.err
    for name in FORMATS:
        assert (
            certlip("report", tmp_path / "r", "--format", name, "--out", tmp_path / "o").code
            == code
        )
        assert certlip("report", tmp_path / "r", "--format", name, "--json", "-q").code == code
    assert checked(tmp_path / "o") == run.document


def test_a_process_that_is_interrupted(certlip, line, tmp_path):
    many = line(n=150_000)
    command = [sys.executable, "-m", "certlip_cli", *map(str, many), "--falsify", "0", "--json"]
    # a shell may start what runs in its background deaf to interrupts
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes, start_new_session=True, preexec_fn=listens)
    rows = tmp_path / "r" / "results.jsonl"
    end = time.monotonic() + 120
    while not (rows.exists() and rows.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""  # no document of a run that is not finished
    assert err.strip().splitlines()[-1] == "certlip: interrupted"
    assert "Traceback" not in err
    written = {path.name for path in (tmp_path / "r").iterdir()}
    for name in FORMATS:  # nothing that an upload could take for a result
        result = certlip("report", tmp_path / "r", "--format", name)
        assert result.code == 2
        assert "not finished" in result.err
    assert {path.name for path in (tmp_path / "r").iterdir()} == written
    assert "report.json" not in written
