"""Small state dicts in the formats of others, and what a damaged one must say."""

import pickle

import numpy as np
import pytest
import torch

from certlip.errors import InputError
from certlip.interop import convert


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def state_dict(shapes, prefix="mon.linear_module.", **changes):
    """Random entries of these shapes; an entry that is None is left out."""
    entries = {name: normal(*shape, seed=k) for k, (name, shape) in enumerate(shapes.items())}
    entries |= changes
    return {
        name if name.startswith("Wout") else prefix + name: value
        for name, value in entries.items()
        if value is not None
    }


def written(tmp_path, content):
    path = tmp_path / "model.params"
    torch.save(content, path)
    return path


class Code:
    def __reduce__(self):
        return (print, ("executed",))


HOSTILE = {
    "a pickle that needs code": lambda path: path.write_bytes(pickle.dumps(Code())),
    "code inside of a torch file": lambda path: torch.save({"A.weight": Code()}, path),
    "no torch file": lambda path: path.write_bytes(b"\x80\x02}q\x00."[:3]),
    "nothing": lambda path: path.write_bytes(b""),
    "a list": lambda path: torch.save([torch.zeros(2)], path),
    "an empty dict": lambda path: torch.save({}, path),
    "whole numbers": lambda path: torch.save({"psi": torch.zeros(2, dtype=torch.int64)}, path),
    "complex numbers": lambda path: torch.save({"psi": torch.zeros(2) * 1j}, path),
    "words": lambda path: torch.save({"psi": "text"}, path),
    "a view that claims more than it has": lambda path: torch.save(
        {"psi": torch.zeros(1).expand(2**40)}, path
    ),
    "a sparse tensor": lambda path: torch.save({"psi": torch.eye(2).to_sparse()}, path),
    "the same name twice": lambda path: torch.save(
        {"psi": torch.zeros(2), "module.psi": torch.zeros(2)}, path
    ),
}


def check_hostile(tmp_path, capsys, format_name, what):
    path = tmp_path / "hostile.params"
    HOSTILE[what](path)
    with pytest.raises(InputError) as caught:
        convert(path, format_name, {"m": 1, "gamma": 1})
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out
