"""The falsifier: attacks inside certified balls, as a cross-check.

An attack that finds another class inside a certified radius has found a bug. It only counts when it
is proven: the distance is bounded from above, and a judge says that another class is at least as large.
Finding nothing proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from certlip.blocks import Network
from certlip.certification.attacks.ascent import MarginAscent
from certlip.certification.attacks.base import Attack, Claims
from certlip.certification.attacks.counterexamples import Counterexample
from certlip.certification.attacks.judge import JUDGES, Judge
from certlip.certification.attacks.norms import NORMS
from certlip.certification.attacks.pgd import Cube, ProjectedGradient
from certlip.certification.attacks.rounding import Rounding
from certlip.certification.attacks.target import Target
from certlip.certification.enclosure.network import ROWS
from certlip.certification.semantics import parse_semantics
from certlip.errors import InputError
from certlip.lmi import NetworkProof

#: Every attack by name, made from its steps and restarts.
ATTACKS: dict[str, Callable[[int, int], Attack]] = {
    "pgd": ProjectedGradient,
    "cube": lambda steps, restarts: Cube(ProjectedGradient(steps, restarts)),
    "ascent": MarginAscent,
    "rounding": Rounding,
}

#: What runs unless something else is asked for. Of an ℓ2 ball the cube is a small part.
USUAL = ("pgd", "ascent", "rounding")


@dataclass(frozen=True)
class Falsification:
    """What the attacks did: how many samples they attacked, and the proven counterexamples."""

    attacked: int
    steps: int
    restarts: int
    broken: tuple[Counterexample, ...]
    attacks: tuple[str, ...] = USUAL

    def summary(self) -> dict[str, Any]:
        return {
            "attacked": self.attacked,
            "attacks": list(self.attacks),
            "steps": self.steps,
            "restarts": self.restarts,
            "broken": len(self.broken),
        }


class Falsifier:
    """Attacks claims about one proven network.

    Raises:
        InputError: an attack, a norm or a semantics of another name.
    """

    def __init__(
        self,
        network: Network,
        proof: NetworkProof,
        *,
        norm: str = "l2",
        semantics: str = "real",
        attacks: Sequence[str] = USUAL,
        steps: int = 20,
        restarts: int = 2,
        device: str = "cpu",
    ) -> None:
        for what, value, known in (
            ("norm", norm, NORMS),
            *(("attack", name, ATTACKS) for name in attacks),
        ):
            if value not in known:
                raise InputError(f"{what} {value!r}: expected one of {', '.join(known)}")
        self.norm, self.semantics = NORMS[norm], semantics
        self.attacks = {name: ATTACKS[name](steps, restarts) for name in attacks}
        meant = parse_semantics(semantics)
        self.target = Target(network, device=device, steps=meant.steps)
        self.judges = [judge(network, proof, self.target) for judge in JUDGES[meant.name]]

    def __call__(
        self, x: np.ndarray, label: np.ndarray, radius: np.ndarray, generator: torch.Generator
    ) -> list[Counterexample]:
        """At most one counterexample per row of x (n, d), n ≤ ROWS; `index` is the row."""
        claims = Claims(x, label, radius, self.norm)
        found: dict[int, Counterexample] = {}
        for name, attack in self.attacks.items():
            for points in attack(self.target, claims, generator):
                for judge in self.judges:
                    for c in self._judged(judge, claims, points, name):
                        found.setdefault(c.index, c)
        return [found[i] for i in sorted(found)]

    def _judged(
        self, judge: Judge, claims: Claims, points: np.ndarray, attack: str
    ) -> Iterator[Counterexample]:
        verdicts = judge(points, claims.label)
        for i in np.flatnonzero(verdicts.other >= 0):
            distance = claims.norm.distance_upper(claims.x[i : i + 1], points[i : i + 1])
            yield Counterexample(
                index=int(i),
                sample=claims.x[i],
                label=int(claims.label[i]),
                radius=float(claims.radius[i]),
                norm=claims.norm.name,
                point=points[i],
                # an attack yields points that are inside, however coarsely this is rounded up
                distance=float(min(distance[0], claims.radius[i])),
                other=int(verdicts.other[i]),
                logits=verdicts.y[i],
                error=float(verdicts.error[i]),
                semantics=self.semantics if judge.semantics == "float32" else judge.semantics,
                attack=attack,
            )


def falsify(
    network: Network,
    proof: NetworkProof,
    x: np.ndarray,
    predicted: np.ndarray,
    radius: np.ndarray,
    *,
    norm: str = "l2",
    semantics: str = "real",
    attacks: Sequence[str] = USUAL,
    steps: int = 20,
    restarts: int = 2,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> Falsification:
    """Attacks each x[i] (n, d) inside the closed ball of radius[i] > 0 around it.

    Raises:
        InputError: as `Falsifier` says.
    """
    falsifier = Falsifier(
        network,
        proof,
        norm=norm,
        semantics=semantics,
        attacks=attacks,
        steps=steps,
        restarts=restarts,
        device=device,
    )
    generator = torch.Generator().manual_seed(seed)
    broken: list[Counterexample] = []
    for start in range(0, len(x), ROWS):
        rows = slice(start, min(start + ROWS, len(x)))
        found = falsifier(x[rows], predicted[rows], radius[rows], generator)
        broken += [replace(c, index=start + c.index) for c in found]
        if on_progress is not None:
            on_progress(rows.stop, len(x))
    return Falsification(len(x), steps, restarts, tuple(broken), tuple(attacks))
