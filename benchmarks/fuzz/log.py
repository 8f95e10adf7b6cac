"""The rounds of a run on disk, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fuzz.rounds import Case, Round
from certlip.blocks import save
from certlip.certification.attacks import Counterexample, save_counterexamples
from certlip.errors import InputError


class Log:
    """`rounds.jsonl` in a folder: the settings of the run, and a line for each round that is over."""

    def __init__(self, folder: Path, settings: dict[str, int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.path = folder, folder / "rounds.jsonl"
        if not self.path.exists():
            self.path.write_text(json.dumps(settings) + "\n", "utf-8")
        first, *rows = self.path.read_text("utf-8").splitlines()
        if json.loads(first) != settings:
            raise InputError(f"{self.path}: a run with {first}; expected {json.dumps(settings)}")
        self.rounds = [Round(**json.loads(row)) for row in rows]

    def has(self, family: str, number: int) -> bool:
        return any((done.family, done.number) == (family, number) for done in self.rounds)

    def add(self, done: Round) -> None:
        self.rounds.append(done)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(done.row()) + "\n")

    def keep(self, done: Round, case: Case, broken: Sequence[Counterexample]) -> Path:
        """Writes the network and the counterexamples of a round; returns their folder."""
        folder = self.folder / f"broken-{done.family}-{done.number}"
        folder.mkdir(exist_ok=True)
        save(case.network, folder / "model.pt")
        save_counterexamples(folder / "counterexamples.npz", broken, case.network)
        return folder

    @property
    def pairs(self) -> int:
        return sum(done.pairs for done in self.rounds)

    def table(self) -> list[list[str]]:
        """Totals per family, with the sum of all."""
        head = [
            "family",
            "networks",
            "pairs",
            "of ℓ∞",
            "of float32",
            "broken",
            "found at 4 radii",
            "CPU s",
        ]
        names = list(dict.fromkeys(done.family for done in self.rounds))
        groups = [[d for d in self.rounds if d.family == name] for name in names]
        rows = [_totals(name, own) for name, own in zip(names, groups, strict=True)]
        return [head, *rows, _totals("all", self.rounds)]


def _totals(name: str, rounds: Sequence[Round]) -> list[str]:
    kept = [done for done in rounds if done.pairs]

    def pairs(of: Sequence[Round]) -> str:
        return f"{sum(done.pairs for done in of):,}"

    beyond = sum(done.tried_beyond for done in kept)
    found = sum(done.broken_beyond for done in kept)
    return [
        name,
        str(len(kept)),
        pairs(kept),
        pairs([done for done in kept if done.norm == "linf"]),
        pairs([done for done in kept if done.semantics == "float32"]),
        str(sum(done.broken for done in kept)),
        f"{found / beyond:.0%}" if beyond else "",
        f"{sum(done.seconds for done in rounds):.0f}",
    ]
