"""Exact rational arithmetic, the referee of what floating point claims to have proven."""

from fractions import Fraction


def rational(A):
    return [[Fraction(float(x)) for x in row] for row in A]


def definite(A):
    """Exact LDLᵀ of a rational matrix: all pivots positive."""
    A = [list(row) for row in A]
    for k in range(len(A)):
        if A[k][k] <= 0:
            return False
        for i in range(k + 1, len(A)):
            factor = A[i][k] / A[k][k]
            A[i] = [x - factor * y for x, y in zip(A[i], A[k], strict=True)]
    return True
