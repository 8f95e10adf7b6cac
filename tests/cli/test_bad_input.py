"""Bad input: exit code 2, one line that names what is wrong, no traceback, nothing written."""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch


class Evil:
    """A pickle that would leave a mark if it were executed."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def bytes_file(content: bytes, name: str = "model.pt"):
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def torch_file(content, name: str = "model.pt"):
    def make(folder: Path) -> Path:
        torch.save(content, folder / name)
        return folder / name

    return make


def edited(change, name: str = "model.pt"):
    """The story's LBEN with its file content changed."""

    def make(folder: Path) -> Path:
        content = torch.load(folder / "good.pt", weights_only=True)
        document = json.loads(content["document"])
        change(document, content["tensors"])
        content["document"] = json.dumps(document)
        torch.save(content, folder / name)
        return folder / name

    return make


def truncated(folder: Path) -> Path:
    path = folder / "model.pt"
    path.write_bytes((folder / "good.pt").read_bytes()[:5000])
    return path


def put(name, value):
    return edited(lambda d, t: t.__setitem__(name, value(t[name])))


def nan_first(tensor):
    tensor = tensor.clone()
    tensor.view(-1)[0] = float("nan")
    return tensor


def nudged(tensor):
    tensor = tensor.clone()
    tensor.view(-1)[1] += 1e-6
    return tensor


MODELS = {
    "missing": lambda folder: folder / "model.pt",
    "a folder": lambda folder: folder,
    "empty": bytes_file(b""),
    "text": bytes_file(b"hello"),
    "zip of nothing": bytes_file(b"PK\x05\x06" + b"\0" * 18),
    "truncated": truncated,
    "pickle with code": bytes_file(pickle.dumps(Evil())),
    "torch file with code": lambda f: (torch.save(Evil(), f / "model.pt"), f / "model.pt")[1],
    "plain state dict": torch_file({"weight": torch.ones(2, 2)}),
    "list": torch_file([1, 2]),
    "other suffix": bytes_file(b"x", "model.bin"),
    "MATLAB": bytes_file(b"x", "model.mat"),
    "safetensors of nothing": bytes_file(b"", "model.safetensors"),
    "safetensors with a lying header": bytes_file(b"\xff" * 8 + b"{}", "model.safetensors"),
    "document is no JSON": torch_file({"document": "{", "tensors": {}}),
    "wrong schema": edited(lambda d, t: d.update(schema="certlip/model/99")),
    "unknown kind": edited(lambda d, t: d["blocks"][0].update(kind="transformer")),
    "unknown activation": edited(
        lambda d, t: d["blocks"][0]["meta"].update(sigma=[["gelu", 64, {}]])
    ),
    "slope above 1": edited(
        lambda d, t: d["blocks"][0]["meta"].update(sigma=[["leaky_relu", 96, {"slope": 2.0}]])
    ),
    "too few activations": edited(
        lambda d, t: d["blocks"][0]["meta"].update(sigma=[["relu", 5, {}]])
    ),
    "no blocks": edited(lambda d, t: (d.update(blocks=[]), t.clear())),
    "missing tensor": edited(lambda d, t: t.pop("block0.U")),
    "extra tensor": edited(lambda d, t: t.update(stray=torch.ones(1))),
    "float32": put("block0.W", lambda t: t.float()),
    "NaN": put("block0.W", nan_first),
    "not square": put("block0.W", lambda t: t[:, :-1].contiguous()),
    "wrong rank": put("block0.b_z", lambda t: t[:, None].contiguous()),
    "weight nudged, hash kept": put("block0.W", nudged),
    "no multipliers of that size": put("block0.origin.psi", lambda t: t[:-1].contiguous()),
    "negative multiplier": put("block0.origin.psi", lambda t: -t),
    "unknown origin": edited(lambda d, t: d["blocks"][0]["origin"].update(family="magic")),
}


@pytest.mark.parametrize("command", ["certify", "check-lmi"])
@pytest.mark.parametrize("name", MODELS)
def test_malformed_models(name, command, certlip, story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.pt").write_bytes((story / "lben" / "model.pt").read_bytes())
    path = MODELS[name](tmp_path)
    present = sorted(tmp_path.rglob("*"))
    extra = ("--dataset", "digits", "--limit", 5, "--report", "r", "--certificate", "c.certlip")
    result = certlip(command, path, *(extra if command == "certify" else ()), "--json")
    assert_refused(result)
    assert not (tmp_path / "executed").exists()
    assert sorted(tmp_path.rglob("*")) == present
    if "multiplier" not in name and "origin" not in name:
        assert path.name in result.err


def npz(**arrays):
    def make(folder: Path) -> str:
        np.savez(folder / "data.npz", **arrays)
        return f"npz:{folder / 'data.npz'}"

    return make


def mnist(name: str, content: bytes):
    def make(folder: Path) -> str:
        with gzip.open(folder / "t10k-labels-idx1-ubyte.gz", "wb") as file:
            file.write(b"\0\0\x08\x01" + (3).to_bytes(4, "big") + b"\1\2\3")
        with gzip.open(folder / name, "wb") as file:
            file.write(content)
        return "mnist"

    return make


X, Y = np.full((3, 64), 0.5), np.array([0, 1, 2])
DATA = {
    "unknown dataset": lambda folder: "digit",
    "no such npz": lambda folder: f"npz:{folder / 'none.npz'}",
    "npz that is none": lambda f: ((f / "d.npz").write_bytes(b"x"), f"npz:{f / 'd.npz'}")[1],
    "npz without labels": npz(x=X),
    "npz of objects": npz(x=np.array([{}, {}], dtype=object), y=np.array([0, 1])),
    "npz with NaN": npz(x=np.full((3, 64), np.nan), y=Y),
    "npz out of range": npz(x=255 * X, y=Y),
    "npz of another length": npz(x=X, y=Y[:2]),
    "npz with a negative label": npz(x=X, y=-Y),
    "npz of nothing": npz(x=X[:0], y=Y[:0]),
    "npz of another width": npz(x=X[:, :10], y=Y),
    "npz with an eleventh class": npz(x=X, y=np.array([0, 1, 10])),
    "mnist without files": lambda folder: "mnist",
    "mnist with a wrong magic number": mnist("t10k-images-idx3-ubyte.gz", b"\0" * 100),
    "mnist cut short": mnist("t10k-images-idx3-ubyte.gz", b"\0\0\x08\x03" + b"\0\0\0\3" * 3),
}


@pytest.mark.parametrize("name", DATA)
def test_malformed_data(name, certlip, story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    dataset = DATA[name](folder)
    result = certlip(
        *("certify", story / "sll" / "model.pt", "--dataset", dataset, "--data-dir", folder),
        *("--report", "r", "--certificate", "c.certlip"),
    )
    assert_refused(result)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


OPTIONS = [
    "certify MODEL",
    "certify MODEL --dataset digits --eps 0",
    "certify MODEL --dataset digits --eps -1",
    "certify MODEL --dataset digits --eps nan",
    "certify MODEL --dataset digits --eps 36/0",
    "certify MODEL --dataset digits --eps 36/255,36/255",
    "certify MODEL --dataset digits --limit 0",
    "certify MODEL --dataset digits --split dev",
    "certify MODEL --dataset digits --norm l3",
    "certify MODEL --dataset digits --semantics float16",
    "certify MODEL --dataset digits --fail-under 0.5",
    "certify MODEL --dataset digits --fail-under 36/255=2",
    "certify MODEL --dataset digits --fail-under 36/255=nan",
    "certify MODEL --dataset digits --fail-under=",
    "certify MODEL --dataset digits --falsify -1",
    "certify MODEL --dataset digits --steps 0",
    "certify MODEL --dataset digits --restarts 0",
    "certify MODEL --dataset digits --threads 0",
    "certify MODEL --dataset digits --seed -1",
    "certify MODEL --dataset digits --device tpu",
    "certify MODEL --dataset digits --device cuda:99",
    "certify MODEL --dataset digits --certificate MODEL/c.certlip",
    "certify MODEL --dataset digits --limit 5 --report MODEL/r",
    "certify MODEL --dataset digits --certificate .",
    f"certify MODEL --dataset digits --certificate {'n' * 300}/c.certlip",
    "certify MODEL --dataset digits --unknown-option",
    "check-lmi MODEL --condition 5",
    "check-lmi MODEL --lipschitz -1",
    "check-lmi MODEL --lipschitz nan",
    "check-lmi MODEL --method guess",
    "train --dataset digits",
    "train --dataset digits --out MODEL",
    "train --dataset digits --out MODEL/run",
    f"train --dataset digits --out {'n' * 300}",
    "train --dataset digits --out new --epochs 0",
    "train --dataset digits --out new --lr -1",
    "train --dataset digits --out new --batch-size 0",
    "train --dataset digits --out new --family transformer",
    "train --dataset digits --out new --recipe nothing",
    "train --dataset digits --out new --family cpl --recipe digits-quick",
    "finetune MODEL --out MODEL",
    "finetune MODEL --out new --lr 0",
    "finetune missing.pt --out new",
    "convert MODEL --from semimondeq --out new.pt",
    "convert MODEL --from unknown --out new.pt",
    "convert MODEL --from semimondeq --set m --out new.pt",
    "convert MODEL --from semimondeq --set m=20 --out new.pt",
    "demo --out MODEL/demo",
    f"demo --out {'n' * 300}",
    "verify missing.certlip",
    "verify MODEL --device tpu",
    "verify MODEL --threads 0",
    "verify MODEL",
    "verify .",
    "verify /proc/self/mem",
    "inspect missing.pt",
    "inspect .",
    "certify MODEL --dataset digits --eps=",
    "certify MODEL --dataset digits --eps 1e400",
    "certify MODEL --dataset digits --limit 5 --report /proc/r",
    "certify MODEL --dataset digits --limit 5 --certificate /proc/c.certlip",
    "certify MODEL --dataset digits --attacks pdg",
    "certify MODEL --dataset digits --gates natural_accuracy>=nan",
    "certify MODEL --dataset digits --boxes dual",
    "certify MODEL --dataset digits --resume",
    "certify MODEL --dataset digits --config missing.toml",
    "lipschitz MODEL --tol nan",
    "lipschitz MODEL --tol -1",
    "lipschitz MODEL --max-seconds -1",
    "lipschitz MODEL --max-seconds nan",
    "lipschitz MODEL --memory inf",
    "check-lmi MODEL --condition=",
    "check-lmi MODEL --solver-option x",
    "check-lmi MODEL --lipschitz inf",
    "train --dataset digits --out /proc/run",
    "train --dataset digits --out new --max-minutes nan",
    "train --dataset digits --out new --batch-size -4",
    "finetune MODEL --out new --kernel-l1 nan",
    "finetune MODEL --out /proc/run",
    "demo --out /proc/demo",
    "convert MODEL --out new.pt",
    "convert MODEL --to tensorflow --out new.py",
    "convert MODEL --to torch --out new.pt",
    "convert MODEL --to torch --out /proc/new.py",
    "convert MODEL --to torch --out new.py --dtype float16",
    "convert MODEL --to onnx --out new.onnx --dataset digits --limit -1",
    "report missing",
    "report MODEL",
    "report . --format junit",
    "report missing --format word",
    "compare missing missing",
    "compare MODEL MODEL",
    "init --out .",
    "init --out /proc/certlip.toml",
    "doctor --device tpu",
    "nonsense",
]


@pytest.mark.parametrize("line", OPTIONS)
def test_bad_options(line, certlip, story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "model.pt"
    model.write_bytes((story / "sll" / "model.pt").read_bytes())
    result = certlip(*line.replace("MODEL", str(model)).split())
    assert_refused(result)
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("given", [["--epochs", "ten"], ["--epochs=ten"]])
def test_a_value_of_the_wrong_type_is_named(given, certlip, tmp_path):
    result = certlip("train", "--dataset", "digits", "--out", tmp_path / "new", *given)
    assert_refused(result)
    assert "--epochs" in result.err
    assert "ten" in result.err


def test_a_zip_bomb_is_refused(certlip, tmp_path):
    path = tmp_path / "bomb.certlip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("certificate.json", "{}" + " " * (100 << 20))
    assert_refused(certlip("verify", path))


def assert_refused(result) -> None:
    assert result.code == 2, result.err
    assert result.out == ""
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("certlip: ")
    assert "Traceback" not in result.err
    assert len(lines[0]) > 20
