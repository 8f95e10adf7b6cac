"""Damaged, hostile and huge files end with exit code 2 or 3 and one line, never with a traceback."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from certlip_cli.main import run
from fuzzed_cases import Case, cases
from fuzzed_files import Bases

MOST_SECONDS, MOST_MEMORY = 30.0, 2 << 30


@pytest.fixture(scope="module")
def bases(story, tmp_path_factory) -> Bases:
    import scipy.io
    from onnx import TensorProto, helper, numpy_helper

    from certlip.blocks import load, save
    from certlip.data import load as load_data

    folder = tmp_path_factory.mktemp("bases")
    shutil.copy(story / "lben" / "model.pt", folder / "model.pt")
    save(load(folder / "model.pt"), folder / "model.safetensors")
    shutil.copy(story / "lben.certlip", folder / "c.certlip")
    shutil.copytree(story / "sll-report", folder / "run")
    line = "train --dataset digits --limit 60 --epochs 2 --threads 1 -q --out"
    assert run([*line.split(), str(folder / "training")]) == 0
    digits = load_data("digits", limit=20)
    np.savez_compressed(folder / "data.npz", x=digits.x, y=digits.label)
    rng = np.random.default_rng(0)
    shapes = {"A": (5, 5), "B": (5, 5), "U": (5, 4), "u": (5, 1), "C": (3, 5), "c": (3, 1)}
    own = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    scipy.io.savemat(folder / "monotone.mat", own, do_compression=True)
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = rng.normal(size=(5, 4)), rng.normal(size=(3, 5))
    scipy.io.savemat(folder / "cells.mat", {"weights": cells})
    sides = {"U.weight": (5, 4), "U.bias": (5,), "A.weight": (5, 5), "B.weight": (5, 5)}
    entries = {f"mon.linear_module.{name}": torch.randn(shape) for name, shape in sides.items()}
    entries |= {"Wout.weight": torch.randn(3, 5), "Wout.bias": torch.randn(3)}
    torch.save(entries, folder / "mondeq.params")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n])
        for name, n in (("x", 6), ("y", 4))
    ]
    weights = [
        numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n)
        for n, s in (("W", (6, 4)), ("b", (4,)))
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "W", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "certlip.toml").write_text('seed = 1\n[certify]\neps = "1"\nlimit = 7\n')
    recipe = Path(__file__).parents[1] / "certlip" / "training" / "recipes" / "digits-quick.toml"
    shutil.copy(recipe, folder / "recipe.toml")
    return Bases(folder)


def complaint(case: Case, code: int, err: str, seconds: float = 0.0, memory: int = 0) -> str:
    """What is wrong with the answer, nothing if it is right."""
    lines = err.strip().splitlines()
    said = f"exit code {code}, {seconds:.1f} s, {memory >> 20} MiB: {err[-600:]}"
    if code in (2, 3) and len(lines) == 1 and lines[0].startswith("certlip: "):
        return "" if seconds <= MOST_SECONDS and memory <= MOST_MEMORY else said
    # a proof that fails (1) and what is inconclusive (3) have tables, of a file that was readable
    fine = code in (0, 1, 3) and not case.hostile and "Traceback" not in err
    return "" if fine else said


def few(bases: Bases) -> Iterator[Case]:
    """Of every reader two that are damaged and two that are hostile, none that take long to make."""
    taken: Counter[str] = Counter()
    for case in cases(bases):
        damaged = case.name.startswith(("flip", "cut", "noise", "a hole"))
        if not case.heavy and (not damaged or case.name in ("flip 1", "cut 2")):
            taken[case.reader] += 1
            if taken[case.reader] <= 4:
                yield case


def test_a_few_of_every_reader_in_this_process(bases, certlip, tmp_path, monkeypatch):
    wrong, readers = {}, set()
    for number, case in enumerate(few(bases)):
        where = tmp_path / str(number)
        where.mkdir()
        monkeypatch.chdir(where)
        result = certlip(*case.prepare(where))
        readers.add(case.reader)
        if said := complaint(case, result.code, result.err):
            wrong[f"{case.reader}, {case.name}"] = said
    assert not wrong, "\n\n".join(f"{name}: {said}" for name, said in wrong.items())
    assert len(readers) == 15


def test_a_traceback_a_second_line_and_a_slow_answer_would_be_noticed():
    case = Case("model.pt", "x", "model.pt", "inspect FILE", lambda path: None)
    assert not complaint(case, 2, "certlip: no\n")
    assert complaint(case, 4, "certlip: internal error\n")
    assert complaint(case, 2, "Traceback\ncertlip: no\n")
    assert complaint(case, 0, "fine\n")
    assert complaint(case, 2, "certlip: no\n", seconds=31.0)
    assert complaint(case, 2, "certlip: no\n", memory=3 << 30)


@pytest.mark.slow
def test_all_of_them_in_processes_of_their_own(bases, tmp_path):
    """Within 2 GiB and 30 s each."""
    torch.set_num_threads(1)
    wrong, number, worst = {}, 0, (0.0, 0)
    for case in cases(bases):
        number += 1
        where = tmp_path / "case"
        where.mkdir()
        line = case.prepare(where)
        began = time.monotonic()
        code, memory = in_a_process(line, where)
        seconds = time.monotonic() - began
        err = (where / "stderr").read_text("utf-8", "replace")
        worst = max(worst[0], seconds), max(worst[1], memory)
        if said := complaint(case, code, err, seconds, memory):
            wrong[f"{case.reader}, {case.name}"] = said
        shutil.rmtree(where)
    print(f"{number} inputs, at most {worst[0]:.1f} s and {worst[1] >> 20} MiB")
    assert not wrong, "\n\n".join(f"{name}: {said}" for name, said in wrong.items())
    assert number >= 300


def in_a_process(line: list[str], where: Path) -> tuple[int, int]:
    """The exit code of a command line, and the most memory it had; it is ended after twice the time."""
    child = os.fork()
    if child == 0:
        os.chdir(where)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream)
        sys.stdout, sys.stderr = (os.fdopen(n, "w") for n in (1, 2))
        resource.setrlimit(resource.RLIMIT_CPU, (40, 40))
        try:
            code = run(line)
        except BaseException as error:
            print(f"escaped: {error!r}", file=sys.stderr)
            code = 99
        sys.stderr.flush()
        os._exit(code)
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss << 10
