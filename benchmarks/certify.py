"""Certifying against plain float32 inference of the same network: the price of soundness.

1,024 digits through the demo's networks, and 256 images of 3×32×32 pixels through the SLL
network of Havens et al. (2023) with 8 inner channels and its fine-tuned LBEN (40 channels on the torus,
1,536 dense states; see `twin`). Plain inference is what `Evaluator` does, with its default tolerance. The
loss is that of radii against margins of the same logits without any error, over the same bounds.
The textbook forms everything anew at every call, in float32 and batches of 64 (see `twin`).
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.models import sll, tuned
from benchmarks.textbook import TextbookLBEN
from benchmarks.timing import best
from benchmarks.twin import BATCH, Broadcasting, TextbookTwin, digits, finetuned, trained_sll
from certlip.blocks import Network
from certlip.certification import Certifier
from certlip.certification.enclosure.network import ROWS
from certlip.data import load
from certlip.lmi import NetworkProof, prove
from certlip.lmi.pairs import pair_bounds
from certlip.reparam import Reparametrized, reparametrize
from certlip.solvers import Evaluator


def run() -> list[list[str]]:
    rows = [
        [
            "model",
            "plain inference, images/s",
            "certified, images/s",
            "ratio",
            "median loss of radius",
        ]
    ]
    data = load("digits", split="all", limit=1024)
    network = sll(8)
    rows.append(_row("SLL, 8 layers", network, data.x))
    rows.append(_row("its LBEN, n = 576", tuned(network), data.x))
    large, x = trained_sll(), digits()[0][:ROWS].double().numpy()
    rows.append(_row("SLL of the paper, 8 channels", large, x))
    parts = reparametrize(large)
    rows.append(_row("its LBEN, fine-tuned", finetuned(parts), x))
    certified = float(rows[-1][2].replace(",", ""))
    for name, kind in (("batched", TextbookLBEN), ("by broadcasting", Broadcasting)):
        speed = _textbook(parts, kind, digits()[0][:BATCH])
        times = f"certified: {certified / speed:.1f} times as fast"
        rows.append([f"its LBEN by the textbook, products {name}", f"{speed:.1f}", "", times, ""])
    return rows


def _textbook(parts: Reparametrized, kind: type[TextbookLBEN], x: torch.Tensor) -> float:
    """Images/s of plain inference to residuals of 1e-5, with the best step of a few."""
    tuned_steps = TextbookTwin(parts, x.dtype)
    tuned_steps(x, tune=True)
    baseline = TextbookTwin(parts, x.dtype, kind).with_steps(tuned_steps.steps())
    return len(x) / best(lambda: baseline(x), 1)


def _row(name: str, network: Network, x: np.ndarray) -> list[str]:
    proof = prove(network)
    evaluator, certifier = Evaluator(network, dtype=torch.float32), Certifier(network, proof)
    single = torch.from_numpy(x).float()
    batches = [slice(start, start + ROWS) for start in range(0, len(x), ROWS)]
    exact = Evaluator(network)(torch.from_numpy(x)).detach().numpy()
    label = exact.argmax(axis=1)

    @torch.no_grad()
    def infer() -> None:
        for rows in batches:
            evaluator(single[rows])

    def certify() -> list[np.ndarray]:
        return [certifier(x[rows], label[rows]).radius_lower for rows in batches]

    inference, seconds = best(infer, 3), best(certify, 3)
    lost = 1.0 - np.concatenate(certify()) / _naive(network, proof, exact)
    return [
        name,
        f"{len(x) / inference:,.0f}",
        f"{len(x) / seconds:,.0f}",
        f"{seconds / inference:.1f}",
        f"{np.median(lost):.0e}",
    ]


def _naive(network: Network, proof: NetworkProof, y: np.ndarray) -> np.ndarray:
    """Radii of logits without errors."""
    row, label = np.arange(len(y)), y.argmax(axis=1)
    bounds = pair_bounds(network, proof.lip, proof.before_last())[label]
    quotients = (y[row, label][:, None] - y) / bounds
    quotients[row, label] = np.inf
    return quotients.min(axis=1)
