"""The attack at the end of a certification: on samples spread over all that have a radius."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from certlip.errors import InputError

from .session import Session

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.certification import Falsification
    from certlip.data import Dataset
    from certlip.lmi import NetworkProof
    from certlip.report import ResultsFile


Attacks = Annotated[
    str, typer.Option(help="Attacks, separated by commas: pgd, cube, ascent, rounding.")
]
USUAL = "pgd,ascent,rounding"


def parse_attacks(text: str) -> tuple[str, ...]:
    """The names of `--attacks`, each once.

    Raises:
        InputError: another name, or none.
    """
    from certlip.certification.attacks import ATTACKS

    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in ATTACKS:
            raise InputError(f"--attacks {name!r}: expected some of {', '.join(ATTACKS)}")
    return names


def attack_rows(
    session: Session,
    network: Network,
    proof: NetworkProof,
    data: Dataset,
    rows: ResultsFile,
    attacked: int,
    with_radius: int,
    *,
    norm: str = "l2",
    semantics: str,
    attacks: Sequence[str],
    steps: int,
    restarts: int,
) -> Falsification:
    """Attacks `attacked` of the `with_radius` samples that have one, each inside its own radius of a norm.

    The rows of those that are broken say `falsified` afterwards.
    """
    from certlip.api.attacking import attack_rows as attack
    from certlip.api.attacking import radius_name

    with session.console.status("attacking certified points"):
        found = attack(
            network,
            proof,
            data,
            rows,
            attacked,
            with_radius,
            norm=norm,
            semantics=semantics,
            attacks=attacks,
            steps=steps,
            restarts=restarts,
            seed=session.seed,
            device=session.device,
        )
    for c in found.broken:
        radius = rows[c.index][radius_name(norm)]
        session.say(
            f"UNSOUND: sample {c.index} is class {c.other} in {c.semantics} arithmetic at "
            f"distance {c.distance!r}, inside its certified {norm} radius {radius}; please "
            "report this as a bug (--report keeps the point)"
        )
    return found
