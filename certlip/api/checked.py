"""Certificates, proven again by the independent checker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certlip.api.models import Model, network_of
from certlip.api.result import Result
from certlip.api.verdict import verify_document
from certlip.checker import CertificateError, Verdict, check_certificate
from certlip.data import Dataset
from certlip.errors import InputError


class VerifyResult(Result):
    """`verdict` is what the checker says, `accepted` whether it proved every claim."""

    def __init__(self, document: dict[str, Any], verdict: Verdict) -> None:
        super().__init__(document)
        self.verdict = verdict

    @property
    def accepted(self) -> bool:
        return self.verdict.accepted

    def __repr__(self) -> str:
        return f"VerifyResult(accepted={self.accepted}, reason={self.verdict.reason!r})"


def verify(
    certificate: str | Path, *, model: Model | None = None, data: Dataset | None = None
) -> VerifyResult:
    """Proves every claim of a certificate again, with NumPy alone.

    Args:
        certificate: A *.certlip file.
        model: What it must be about.
        data: The samples it must be about.

    Raises:
        InputError: the file is unreadable.
    """
    try:
        verdict = check_certificate(
            Path(certificate),
            model_sha256=None if model is None else network_of(model).sha256(),
            data_sha256=None if data is None else data.sha256(),
        )
    except CertificateError as error:
        raise InputError(str(error)) from None
    return VerifyResult(verify_document(certificate, verdict), verdict)
