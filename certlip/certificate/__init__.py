"""The proof document: everything a different program needs to repeat a certification run."""

from certlip.certificate.claims import Claims as Claims
from certlip.certificate.claims import claims_of as claims_of
from certlip.certificate.write import require_covered as require_covered
from certlip.certificate.write import write_certificate as write_certificate
