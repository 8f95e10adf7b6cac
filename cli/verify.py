"""`certlip verify`: the independent checker, which shares no code with what wrote the
certificate."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from certlip.errors import InputError, UnsupportedError

from .options import DataDir, Limit, OptionalDataset, Split, read_data, read_model
from .session import Session, command

if TYPE_CHECKING:
    from certlip.checker import Verdict


def verify(
    session: Session,
    certificate: Annotated[Path, typer.Argument(help="A *.certlip file.", metavar="CERTIFICATE")],
    model: Annotated[Path | None, typer.Option(help="The model it must be about.")] = None,
    dataset: OptionalDataset = None,
    data_dir: DataDir = None,
    split: Split = "test",
    limit: Limit = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Then once more in exact fractions (small models).")
    ] = False,
) -> int:
    """Re-prove a certificate from its stored numbers, with NumPy alone."""
    from certlip.api.verdict import verify_document
    from certlip.checker import CertificateError, check_certificate

    if not certificate.is_file():
        what = "a folder" if certificate.is_dir() else "no such file"
        raise InputError(f"{certificate}: {what}; expected a certificate, FILE.certlip")
    (session.prepare_numpy if model is None else session.prepare_torch)()
    model_hash = None if model is None else read_model(model).sha256()
    data_hash = None
    if dataset is not None:
        data_hash = read_data(dataset, data_dir, split, limit).sha256()
    start = time.perf_counter()
    try:
        with session.console.status("re-proving"):
            verdict = check_certificate(certificate, model_sha256=model_hash, data_sha256=data_hash)
    except CertificateError as error:
        raise InputError(str(error)) from None
    if exact and verdict.accepted:
        verdict = _exactly(session, certificate, verdict)
    seconds = time.perf_counter() - start
    for name, detail in verdict.checks:
        session.say(f"{name}: {detail}")
    word = "accepted" if verdict.accepted else "REJECTED"
    session.say(f"{certificate}: {word} in {seconds:.2f} s: {verdict.reason}")
    session.emit(verify_document(certificate, verdict) | {"seconds": seconds})
    return 0 if verdict.accepted else 1


def _exactly(session: Session, certificate: Path, verdict: Verdict) -> Verdict:
    """The verdict of both routes: an accepted one stays so if exact arithmetic proves it too."""
    from certlip.checker.exact import Refused, prove_exactly
    from certlip.checker.reading import Rejected

    try:
        with session.console.status("re-proving in fractions"):
            checks = prove_exactly(certificate)
    except Refused as refusal:
        raise UnsupportedError(f"{certificate}: --exact: {refusal}") from None
    except Rejected as error:
        return replace(verdict, accepted=False, reason=f"in fractions: {error}")
    named = tuple((f"exact {name}", detail) for name, detail in checks)
    return replace(verdict, checks=(*verdict.checks, *named))


def register(app: typer.Typer) -> None:
    command(app, "verify")(verify)
