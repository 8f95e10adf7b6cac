"""An independent checker of certificates: NumPy and the standard library, nothing else of certlip.

It repeats every proof that docs/certificate.md asks for, from the stored numbers alone. Assumed:
IEEE doubles to nearest with gradual underflow, plain dot products in any order, tanh and expm1.
"""

from certlip.checker.check import Verdict as Verdict
from certlip.checker.check import check_certificate as check_certificate
from certlip.checker.reading import CertificateError as CertificateError
