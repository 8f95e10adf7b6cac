"""Options of `train` and `finetune` that are refused: one line, exit code 2, and nothing begun."""

from __future__ import annotations

import pytest

from certlip import data
from certlip.training import Settings, train

BAD = {
    "--epochs 0": "epochs = 0: expected a whole number ≥ 1",
    "--epochs -3": "epochs = -3",
    "--epochs 1.5": "'--epochs'",
    "--batch-size 0": "batch_size = 0",
    "--lr 0": "lr = 0.0: expected a number > 0",
    "--lr nan": "lr = nan",
    "--lr inf": "lr = inf",
    "--lr x": "'--lr'",
    "--limit 0": "limit: 0; expected 1 or more",
    "--seed -1": "--seed -1",
    "--threads 0": "--threads 0",
    "--split nowhere": "split 'nowhere' of digits: expected train, validation, test, all",
    "--dataset digit": "did you mean 'digits'?",
    "--dataset npz:": "expected 'npz:PATH'",
    "--dataset mnist --data-dir /nowhere": "--data-dir /nowhere: not a folder",
    "--device tpu": "--device tpu: expected auto, cpu, cuda",
    "--recipe nothing": "no such recipe",
    "--recipe nowhere.toml": "cannot be read",
    "--max-minutes -1": "--max-minutes -1.0",
    "--out /dev/null/x": "--out /dev/null",
}
BAD_OF_TRAIN = {
    "--precision float16": "precision = 'float16': expected full or bfloat16",
    "--precision bfloat16 --recipe digits-mondeq": "solved in float64",
    "--compile --recipe digits-mondeq": "solved in float64",
    "--family ao": "no such family; did you mean 'aol'",
    "--family aol --recipe digits-quick": "recipe digits-quick trains 'sll'",
}
BAD_OF_FINETUNE = {"--kernel-l1 -1": "kernel_l1 = -1.0", "--kernel-l1 nan": "kernel_l1 = nan"}


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    splits = [data.load("digits", split=name).first(40) for name in ("train", "validation")]
    out = tmp_path_factory.mktemp("small")
    sizes = {"width": 64, "hidden": 4, "depth": 1}
    train("sll", sizes, *splits, Settings(epochs=1, checkpoint_every=1), out)
    return out / "model.pt"


@pytest.mark.parametrize("words", [*BAD, *BAD_OF_TRAIN])
def test_a_bad_option_of_train_is_one_line_and_no_run(certlip, tmp_path, words):
    out = tmp_path / "out"
    result = certlip("train", "--limit", 60, "--out", out, *words.split())
    refused_in_one_line(result, (BAD | BAD_OF_TRAIN)[words])
    assert not (out / "checkpoint.pt").exists()


@pytest.mark.parametrize("words", [*BAD, *BAD_OF_FINETUNE])
def test_a_bad_option_of_finetune_is_one_line_and_no_run(certlip, small_model, tmp_path, words):
    out = tmp_path / "out"
    result = certlip("finetune", small_model, "--limit", 60, "--out", out, *words.split())
    refused_in_one_line(result, (BAD | BAD_OF_FINETUNE)[words])
    assert not (out / "checkpoint.pt").exists()


def refused_in_one_line(result, said):
    assert result.code == 2, result.err
    assert said in result.err
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert not result.out
