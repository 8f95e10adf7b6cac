"""The bar of a training run: over all steps, on a terminal only."""

from __future__ import annotations

import io
import time

import pytest
from certlip_cli.session import Session
from certlip_cli.watching import watch
from rich.console import Console

from certlip import data
from certlip.training import Settings, train
from certlip.training.conduct import Position, Progress


@pytest.fixture
def session(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    made = Session(0, "cpu", None, json_output=False, quiet=False, verbose=False)
    made.console = console(force_terminal=True)
    return made


def console(**options):
    return Console(file=io.StringIO(), width=200, color_system=None, highlight=False, **options)


def shown(session):
    return session.console.file.getvalue()


def drawn(session, text):
    """Waits until the thread that draws has drawn it."""
    patience = time.monotonic() + 10.0
    while text not in shown(session) and time.monotonic() < patience:
        time.sleep(0.02)
    assert text in shown(session)


def test_a_terminal_sees_steps_speed_and_time_left(session, tmp_path):
    now = [0.0]
    session.console.get_time = lambda: now[0]
    row = {"loss": 0.25, "proven": True, "natural": 0.5, "certified": {"1": 0.125}}
    with watch(session, tmp_path / "run", resume=False) as callbacks:
        for step in range(1, 4):
            now[0] += 2.0
            callbacks["on_step"](Position(0, 2, step, 5, 64))
        for text in ("epoch 1/2, steps", "3/10", "32 images/s"):
            drawn(session, text)
        callbacks["on_epoch"](Progress(1, 2, row))
        now[0] += 2.0
        callbacks["on_step"](Position(1, 2, 1, 5, 64))
        for text in ("epoch 2/2, steps", "6/10", "loss 0.2500, natural 0.5000, 1: 0.1250"):
            drawn(session, text)


def test_a_resumed_run_is_not_fast_for_what_was_done_before(session, tmp_path):
    now = [0.0]
    session.console.get_time = lambda: now[0]
    with watch(session, tmp_path / "run", resume=True) as callbacks:
        for step in range(3000, 3004):
            now[0] += 1.0
            callbacks["on_step"](Position(7, 9, step, 4000, 10))
        drawn(session, " 10 images/s")
    assert "000 images/s" not in shown(session)


@pytest.mark.parametrize("where", ["file", "json", "CI"])
def test_elsewhere_there_is_no_bar_and_no_word_per_step(session, tmp_path, monkeypatch, where):
    if where == "file":
        session.console = console()
    if where == "json":
        session.json_output = True
    if where == "CI":
        monkeypatch.setenv("CI", "1")
    row = {"loss": 0.25, "proven": True, "natural": 0.5, "certified": {"1": 0.125}}
    with watch(session, tmp_path / "run", resume=False) as callbacks:
        assert callbacks["on_step"] is None
        callbacks["on_epoch"](Progress(1, 2, row))
    assert shown(session).strip().endswith("epoch 1/2: loss 0.2500, natural 0.5000, 1: 0.1250")
    assert "images/s" not in shown(session)


def test_the_loop_tells_of_every_step(tmp_path):
    told = []
    splits = [data.load("digits", split=name).first(50) for name in ("train", "validation")]
    sizes = {"width": 64, "hidden": 8, "depth": 1}
    settings = Settings(epochs=2, batch_size=20, checkpoint_every=1)
    train("sll", sizes, *splits, settings, tmp_path, on_step=told.append)
    assert told == [Position(e, 2, s, 3, 20) for e in range(2) for s in (1, 2, 3)]
