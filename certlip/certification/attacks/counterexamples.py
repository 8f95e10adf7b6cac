"""Counterexamples, their file, and how anybody checks them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from certlip.blocks import Network
from certlip.certification.attacks.judge import JUDGES
from certlip.certification.attacks.norms import NORMS
from certlip.certification.attacks.target import Target
from certlip.certification.semantics import parse_semantics
from certlip.errors import InputError
from certlip.lmi import NetworkProof


@dataclass(frozen=True)
class Counterexample:
    """A point of a certified ball where the class is not the certified one.

    `index` of the sample, `sample` (d,) itself with its class `label` and certified `radius` in `norm`;
    `point` (d,) at a `distance` of at most that, rounded up; `other`, a class whose logit there is no
    smaller than the label's; `logits` (classes,) at the point under `semantics`, and their `error`;
    `attack`, the search that found it.
    """

    index: int
    sample: np.ndarray
    label: int
    radius: float
    norm: str
    point: np.ndarray
    distance: float
    other: int
    logits: np.ndarray
    error: float
    semantics: str
    attack: str

    def holds(self, network: Network, proof: NetworkProof, *, device: str = "cpu") -> bool:
        """Whether another class wins in the ball, judged again from sample, point and radius alone."""
        meant = parse_semantics(self.semantics)
        judge = next(kind for kind in JUDGES[meant.name] if kind.semantics == meant.name)
        target = Target(network, device=device, steps=meant.steps)
        verdicts = judge(network, proof, target)(self.point[None], np.array([self.label]))
        norm, radius = NORMS[self.norm], np.array([self.radius])
        inside = norm.within(self.sample[None], self.point[None], radius)
        return bool(inside[0] and verdicts.other[0] >= 0)


def save_counterexamples(path: Path, found: Sequence[Counterexample], network: Network) -> None:
    """Writes an npz without pickles: an array per field, a row per counterexample, and the model's hash."""
    columns: dict[str, Any] = {"model_sha256": np.array(network.sha256())}
    for field in fields(Counterexample):
        columns[field.name] = np.array([getattr(c, field.name) for c in found])
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def load_counterexamples(path: Path, network: Network) -> list[Counterexample]:
    """What `save_counterexamples` wrote.

    Raises:
        InputError: no such file, or of another model.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        sha256 = str(columns.pop("model_sha256"))
        rows = [
            Counterexample(**{name: _plain(column[i]) for name, column in columns.items()})
            for i in range(len(columns["index"]))
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected a file of counterexamples ({error})") from None
    if sha256 != network.sha256():
        raise InputError(f"{path}: counterexamples to model {sha256}, not {network.sha256()}")
    return rows


def _plain(value):
    return value if value.ndim else value.item()
