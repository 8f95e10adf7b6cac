"""The attack at the end of a certification: on samples spread over all that have a radius."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from certlip.blocks import Network
from certlip.certification import Falsification, Status, falsify
from certlip.certification.rows import WITH_RADIUS
from certlip.data import Dataset
from certlip.lmi import NetworkProof
from certlip.report import ResultsFile
from certlip.report.base import Sample


def attack_rows(
    network: Network,
    proof: NetworkProof,
    data: Dataset,
    rows: ResultsFile,
    attacked: int,
    with_radius: int,
    *,
    norm: str = "l2",
    **how: Any,
) -> Falsification:
    """Attacks `attacked` of the `with_radius` samples that have one, each inside its own radius of a norm.

    The rows of those that are broken say `falsified` afterwards; `how` is what `falsify` takes.
    """
    name = radius_name(norm)
    chosen = [row for row in _spread(rows, attacked, with_radius) if float(row[name]) > 0.0]
    found = falsify(
        network,
        proof,
        data.rows(np.array([row["index"] for row in chosen], dtype=int)),
        np.array([row["predicted"] for row in chosen], dtype=int),
        np.array([float(row[name]) for row in chosen]),
        norm=norm,
        **how,
    )
    broken = tuple(replace(c, index=chosen[c.index]["index"]) for c in found.broken)
    falsified = {row["index"]: {**row, "status": str(Status.FALSIFIED)} for row in chosen}
    rows.change({c.index: falsified[c.index] for c in broken})
    return replace(found, broken=broken)


def radius_name(norm: str) -> str:
    """The field of a row that has the radius of a norm."""
    return "radius_lower_linf" if norm == "linf" else "radius_lower"


def _spread(rows: ResultsFile, attacked: int, with_radius: int) -> list[Sample]:
    """Rows evenly spread over those with a radius; whoever was broken before counts as one."""
    places = set(range(with_radius))
    if with_radius > attacked:
        places = {int(i) for i in np.linspace(0, with_radius - 1, attacked)}
    having = (row for row in rows if row["status"] in WITH_RADIUS)
    return [row for place, row in enumerate(having) if place in places]
