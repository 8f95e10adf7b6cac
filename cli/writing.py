"""What a certification run leaves behind: a certificate, the files of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import run_folder
from .streaming import Stream

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.certification import Eps
    from certlip.certification.attacks import Counterexample
    from certlip.data import Dataset
    from certlip.lmi import NetworkProof
    from certlip.report import ResultsFile


def write_certificate(
    path: Path,
    network: Network,
    proof: NetworkProof,
    data: Dataset,
    eps: Sequence[Eps],
    stream: Stream,
) -> None:
    """A certificate holds all samples: here, and only here, memory grows with their number."""
    from certlip import certificate
    from certlip.certification import radii_of_rows

    radii = radii_of_rows(stream.rows, stream.states.read())
    claims = certificate.claims_of(radii, data, eps)
    certificate.write_certificate(path, network, proof.blocks, str(proof.lip), claims)


def write_report(
    folder: Path,
    document: dict[str, Any],
    samples: ResultsFile,
    network: Network,
    data: Dataset,
    broken: Sequence[Counterexample],
    compare: Sequence[tuple[str, dict[str, Any], ResultsFile]],
) -> None:
    """Counterexamples, pictures, the page, and the document that says that the run is finished."""
    from certlip.certification.attacks import save_counterexamples
    from certlip.files import atomic
    from certlip.report import write
    from certlip.report.pictures import pictures, write_pictures

    if broken:
        path = folder / run_folder.COUNTEREXAMPLES
        atomic(path, lambda file: save_counterexamples(file, broken, network))
    shown = pictures(samples, data.rows, data.shape)
    if shown:
        write_pictures(folder / run_folder.PICTURES, shown)
    page = document | {"pictures": shown}
    write("html", folder / run_folder.PAGE, page, samples, compare)
    write("json", folder / run_folder.DONE, document, samples)  # last: the run is then finished
