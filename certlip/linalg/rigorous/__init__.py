"""Arithmetic whose rounding errors are bounded: what comes out of here may be called proven.

Everything runs in IEEE double precision, round to nearest, on the CPU with NumPy. The argument is
the one of Rump (BIT 46, 2006) and Higham (Accuracy and Stability, ch. 3): every elementary
operation is followed by one outward step, every matrix product carries γ_k(|A||B|), every matrix
inequality is proven by a Cholesky factorization of a matrix shifted by a bound of all errors.
"""

from certlip.linalg.rigorous.ball import Ball as Ball
from certlip.linalg.rigorous.bounds import LowerBound as LowerBound
from certlip.linalg.rigorous.bounds import UpperBound as UpperBound
from certlip.linalg.rigorous.cholesky import is_positive_definite as is_positive_definite
from certlip.linalg.rigorous.cholesky import negative_direction as negative_direction
from certlip.linalg.rigorous.environment import require_ieee as require_ieee
from certlip.linalg.rigorous.spectral import spectral_norm as spectral_norm
