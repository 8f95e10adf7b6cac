"""Certifying against plain float32 inference of the same network, 1,024 digits: the price of soundness."""

from __future__ import annotations

import torch

from benchmarks.models import sll, tuned
from benchmarks.timing import best
from certlip.certify import certify
from certlip.data import load
from certlip.lmi import prove
from certlip.solvers import Evaluator


def run() -> list[list[str]]:
    data = load("digits", split="all", limit=1024)
    rows = [["model", "plain inference, images/s", "certified, images/s", "ratio of times"]]
    network = sll(8)
    for name, candidate in (("SLL, 8 layers", network), ("its LBEN, n = 576", tuned(network))):
        plain = Evaluator(candidate, dtype=torch.float32)
        x = torch.from_numpy(data.x).float()
        proof = prove(candidate)

        def infer(plain=plain, x=x) -> None:
            with torch.no_grad():
                for part in x.split(256):
                    plain(part)

        inference = best(infer)
        seconds = best(lambda c=candidate, p=proof: certify(c, p, data.x, data.label))
        rows.append(
            [
                name,
                f"{len(data) / inference:,.0f}",
                f"{len(data) / seconds:,.0f}",
                f"{seconds / inference:.1f}",
            ]
        )
    return rows
