"""The proof document: everything a different program needs to repeat a certification run."""

from certlip.certificate.write import Claims as Claims
from certlip.certificate.write import write_certificate as write_certificate
