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


def transposed(A):
    return [list(column) for column in zip(*A, strict=True)]


def product(A, B):
    columns = transposed(B)
    return [[sum(a * b for a, b in zip(row, col, strict=True)) for col in columns] for row in A]


def well_posed(W, gam, mu=0.0):
    """2Γ − ΓW − WᵀΓ − 2μΓ, the matrix of (3), of the stored doubles."""
    W, (gam,), mu = rational(W), rational([gam]), Fraction(float(mu))
    n = range(len(gam))
    return [
        [2 * gam[i] * (1 - mu) * (i == j) - gam[i] * W[i][j] - W[j][i] * gam[j] for j in n]
        for i in n
    ]


def lipschitz(W, U, G, lam, lip):
    """2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L, the matrix of (4) and (10), of the stored doubles."""
    U, G, (q,), L = rational(U), rational(G), rational([lam]), Fraction(float(lip))
    M, UU, GG = well_posed(W, lam), product(U, transposed(U)), product(transposed(G), G)
    n = range(len(q))
    return [[M[i][j] - (GG[i][j] + q[i] * UU[i][j] * q[j]) / L for j in n] for i in n]
