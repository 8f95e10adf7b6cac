"""The attack at the end of a certification: on samples spread over all that have a radius."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from certlip.errors import InputError

from .session import Session

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.certify import Falsification
    from certlip.data import Dataset
    from certlip.lmi import NetworkProof
    from certlip.report import ResultsFile
    from certlip.report.base import Sample


Attacks = Annotated[
    str, typer.Option(help="Attacks, separated by commas: pgd, cube, ascent, rounding.")
]
USUAL = "pgd,ascent,rounding"


def parse_attacks(text: str) -> tuple[str, ...]:
    """The names of `--attacks`, each once.

    Raises:
        InputError: another name, or none.
    """
    from certlip.certify.attacks import ATTACKS

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
    from dataclasses import replace

    import numpy as np

    from certlip.certify import Status, falsify

    chosen = _spread(rows, attacked, with_radius)
    name = "radius_lower_linf" if norm == "linf" else "radius_lower"
    chosen = [row for row in chosen if float(row[name]) > 0.0]
    index = np.array([row["index"] for row in chosen], dtype=int)
    with session.console.status(f"attacking {len(index)} certified points"):
        found = falsify(
            network,
            proof,
            data.rows(index),
            np.array([row["predicted"] for row in chosen], dtype=int),
            np.array([float(row[name]) for row in chosen]),
            norm=norm,
            semantics=semantics,
            attacks=attacks,
            steps=steps,
            restarts=restarts,
            seed=session.seed,
            device=session.device,
        )
    broken = {}
    for c in found.broken:
        row = chosen[c.index]
        broken[row["index"]] = {**row, "status": str(Status.FALSIFIED)}
        session.say(
            f"UNSOUND: sample {row['index']} is class {c.other} in {c.semantics} arithmetic at "
            f"distance {c.distance!r}, inside its certified {norm} radius {row[name]}; please "
            "report this as a bug (--report keeps the point)"
        )
    rows.change(broken)
    own = tuple(replace(c, index=chosen[c.index]["index"]) for c in found.broken)
    return replace(found, broken=own)


def _spread(rows: ResultsFile, attacked: int, with_radius: int) -> list[Sample]:
    """Rows evenly spread over those with a radius; whoever was broken before counts as one."""
    import numpy as np

    from certlip.certify.rows import WITH_RADIUS

    places = set(range(with_radius))
    if with_radius > attacked:
        places = {int(i) for i in np.linspace(0, with_radius - 1, attacked)}
    having = (row for row in rows if row["status"] in WITH_RADIUS)
    return [row for place, row in enumerate(having) if place in places]
