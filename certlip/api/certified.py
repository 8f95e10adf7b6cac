"""Certified radii of samples, as arrays, as a report and as a certificate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from certlip.api.attacking import attack_rows
from certlip.api.models import Model, network_of, path_of
from certlip.api.result import Result
from certlip.api.samples import Samples, dataset_of, described
from certlip.blocks import Network
from certlip.certificate import claims_of, require_covered, write_certificate
from certlip.certification import (
    Certifier,
    Eps,
    LinfPart,
    Radii,
    Status,
    Tally,
    certify_document,
    certify_with,
    parse_eps,
    parse_norms,
    sample_rows,
)
from certlip.data import Dataset
from certlip.errors import UnsoundError
from certlip.lmi import NetworkProof, prove, prove_pairs
from certlip.lmi.search import Search
from certlip.report import ResultsFile, write
from certlip.report.curve import step_curve
from certlip.report.pictures import pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CertifyResult(Result):
    """What was certified; one row of `samples` per sample, as `results.jsonl` has them."""

    def __init__(
        self,
        document: dict[str, Any],
        samples: ResultsFile,
        network: Network,
        proof: NetworkProof,
        radii: Radii,
        data: Dataset,
        eps: Sequence[Eps],
    ) -> None:
        super().__init__(document)
        self.samples, self.network, self.proof = samples, network, proof
        self.radii, self.data, self.eps = radii, data, eps

    @property
    def natural_accuracy(self) -> float:
        return self.document["natural_accuracy"]

    @property
    def certified_accuracy(self) -> dict[str, float]:
        """The share of samples that are proven correct at every ε, as it was written."""
        return self.document["certified_accuracy"]

    @property
    def lipschitz_upper(self) -> float:
        """The proven ℓ2 bound from raw inputs to logits."""
        return self.proof.lip.value

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws certified accuracy over ε into `axes`, new ones unless given.

        Raises:
            ImportError: matplotlib is not installed.
        """
        curve = step_curve(self.samples)
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(layout="constrained").add_subplot()
        end = max([*curve.radii[-1:], *(e.upper for e in self.eps)])
        axes.plot(*curve.steps(1.04 * end), drawstyle="steps-pre")
        axes.set(xlabel="ε (raw input units)", ylabel="certified accuracy", ylim=(0.0, 1.02))
        return axes

    def save(self, path: str | Path, format_name: str = "html") -> None:
        """Writes the report in one of the formats of `certlip report`.

        Raises:
            InputError: no such format, or the file cannot be written.
        """
        shown = {}
        if format_name == "html":
            shown = {"pictures": pictures(self.samples, self.data.rows, self.data.shape)}
        write(format_name, Path(path), self.document | shown, self.samples)

    def __repr__(self) -> str:
        shares = ", ".join(
            f"{text}: {share:.4f}" for text, share in self.certified_accuracy.items()
        )
        return f"CertifyResult(natural {self.natural_accuracy:.4f}, certified {{{shares}}})"


def certify(
    model: Model,
    data: Samples,
    label: np.ndarray | torch.Tensor | Sequence[int] | None = None,
    *,
    eps: str = "36/255,72/255,108/255,1",
    norm: str = "l2",
    semantics: str = "real",
    method: str = "auto",
    boxes: str = "interval",
    falsify: int = 16,
    certificate: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> CertifyResult:
    """Certified radii of samples: no perturbation up to them changes the class.

    Args:
        model: A network, a torch module, or the path of a model.
        data: Inputs (n, …) in raw units, float32 or float64, or a dataset.
        label: Their classes (n,), of inputs that are no dataset.
        eps: Radii in raw input units, separated by commas.
        norm: l2 or linf, or both: `eps` is then of each.
        semantics: real, or float32: the deployed evaluation keeps its class as well.
        method: How multipliers are found: auto, analytic, structured, cvxpy.
        boxes: How ℓ∞ margins are bounded: interval, or dual for a linear pass as well.
        falsify: How many certified samples are attacked as a cross-check.
        certificate: Where to write what the independent checker proves again (`certlip.verify`).
        seed: Of the attacks.
        device: Where guesses are computed; the verification is on the CPU whatever this is.
        on_progress: Told how many of all samples are done.

    Raises:
        InputError: samples, labels or an option that do not fit.
        RejectedError, InconclusiveError: no bound could be proven; then nothing is certified.
        UnsupportedError: no rule for these semantics, or blocks that certificates do not cover.
    """
    network, radii_at, norms = network_of(model), parse_eps(eps), parse_norms(norm)
    samples = dataset_of(data, label, network.classes)
    if certificate is not None:
        require_covered(network)
    proof = proven(network, Search(method, device=device), certificate is not None)
    eps_linf = radii_at if "linf" in norms else []
    start = time.perf_counter()
    certifier = Certifier(
        network,
        proof,
        device=device,
        semantics=semantics,
        norms=norms,
        eps_linf=eps_linf,
        boxes=boxes,
    )
    radii = certify_with(
        certifier, samples.x, samples.label, keep_states=True, on_progress=on_progress
    )
    seconds = time.perf_counter() - start
    rows = ResultsFile(None)
    rows.append(sample_rows(radii))
    counted = Tally.of(rows, radii_at, eps_linf)
    found = {
        each: attack_rows(
            *(network, proof, samples, rows, falsify, counted.with_radius),
            norm=each,
            semantics=semantics,
            seed=seed,
            device=device,
        )
        for each in (norms if falsify else ())
    }
    if any(each.broken for each in found.values()):
        counted = Tally.of(rows, radii_at, eps_linf)
    code = UnsoundError.exit_code if counted.counts[Status.FALSIFIED] else 0
    document = certify_document(
        network,
        proof,
        counted,
        eps=radii_at,
        model_path=path_of(model),
        data=described(samples),
        settings={
            "seed": seed,
            "device": device,
            "dtype": "float64",
            "semantics": semantics,
            "norm": ",".join(norms),
            "method": method,
            "dataset": samples.name,
            "split": samples.split,
            "limit": None,
            "falsify": falsify,
            **({"boxes": boxes} if "linf" in norms else {}),
        },
        seconds=seconds,
        timed=len(samples),
        falsification=found.get(norms[0]),
        exit_code=code,
        linf=None
        if certifier.linf is None
        else LinfPart(eps_linf, certifier.linf.reason, found.get("linf")),
    )
    if certificate is not None and code == 0:
        claims = claims_of(radii, samples, radii_at)
        write_certificate(Path(certificate), network, proof.blocks, str(proof.lip), claims)
    return CertifyResult(document, rows, network, proof, radii, samples, radii_at)


def proven(network: Network, search: Search | None, for_certificate: bool) -> NetworkProof:
    """The proof that radii are taken from.

    Certificates have bounds of pairs of classes for a last equilibrium of matrices only.
    """
    proof = prove(network, search=search)
    if for_certificate and network.blocks[-1].kind != "equilibrium":
        return proof
    return prove_pairs(network, proof, search)
