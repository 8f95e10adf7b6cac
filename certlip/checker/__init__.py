"""An independent checker of certificates: NumPy and the standard library, nothing else of certlip.

It repeats every proof that docs/certificate.md asks for, from the stored numbers alone. Assumed are
IEEE doubles rounded to nearest with gradual underflow, a BLAS whose dot products are plain sums in
any order, and the accuracy that the contract states for tanh and expm1.
"""

from certlip.checker.check import check_certificate as check_certificate
from certlip.checker.verdict import CertificateError as CertificateError
from certlip.checker.verdict import Verdict as Verdict
