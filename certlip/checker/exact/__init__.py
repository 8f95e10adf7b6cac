"""A second route for small networks of matrices: the same claims in exact rational arithmetic.

No rounding is bounded here because none happens; only the reading of the file is shared with the
checker. Arrays hold fractions (dtype object), so that formulas read as they do on paper. Kinds of
images and functions that are not piecewise linear are refused.
"""

from certlip.checker.exact.prove import prove_exactly as prove_exactly
from certlip.checker.exact.rationals import Refused as Refused
