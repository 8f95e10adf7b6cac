"""An independent checker of certificates: NumPy and the standard library, nothing else of certlip.

It repeats every proof of docs/certificate.md. Assumed are IEEE doubles rounded to nearest, a BLAS
whose dot products are plain sums in any order, and the stated accuracy of tanh and expm1.
"""

from certlip.checker.check import Verdict as Verdict
from certlip.checker.check import check_certificate as check_certificate
from certlip.checker.document import CertificateError as CertificateError
