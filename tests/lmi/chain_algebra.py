"""The matrix S of a chain in full, interior points of it, patterns, and their completions."""

import numpy as np
import torch
from chain_nets import random_chain
from hypothesis import strategies as st

from certlip.lmi.chain.recursion import Pattern, inverse, schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import boundary, inside

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 5), min_size=3, max_size=6)


def matrix(chain, lam, rho):
    """S in full, the output eliminated."""
    widths = [chain.A[0].shape[1], *chain.widths]
    at = np.concatenate([[0], np.cumsum(widths)])
    S = torch.zeros(int(at[-1]), int(at[-1])).double()
    for k in range(len(widths)):
        here = slice(at[k], at[k + 1])
        S[here, here] = torch.diag(2.0 * lam[k - 1]) if k else rho * torch.eye(widths[0])
        if k:
            before = slice(at[k - 1], at[k])
            S[here, before] = -lam[k - 1][:, None] * chain.A[k - 1]
            S[before, here] = S[here, before].mT
    S[here, here] -= chain.A[-1].mT @ chain.A[-1]
    return S


def point(seed, widths):
    chain = ScaledChain.of(random_chain(seed, widths))
    found = boundary(chain, None)
    assert found is not None
    lam, rho = inside(chain, *found) or found
    rng = torch.Generator().manual_seed(seed % 2**31)
    lam = [part * (1.0 + 0.1 * torch.rand(len(part), generator=rng).double()) for part in lam]
    rho = 3.0 * rho
    return chain, lam, rho, inverse(chain, lam, schur_factors(chain, lam, rho))


def pattern(chain, full):
    """The tridiagonal blocks of a symmetric matrix."""
    sizes = [chain.A[0].shape[1], *chain.widths]
    rows = [row.split(sizes, 1) for row in full.split(sizes, 0)]
    at = range(len(sizes))
    return Pattern([rows[k][k] for k in at], [rows[k][k - 1] for k in at[1:]])


def off_centre(chain, P, seed, exponent=-1.0):
    """A positive definite pattern other than that of P."""
    rng = torch.Generator().manual_seed(seed % 2**31)
    B = torch.randn(chain.order, chain.order, generator=rng).double()
    size = max(float(block.diagonal().max()) for block in P.own)
    return P.plus(1.0, pattern(chain, 10.0**exponent * size * (B @ B.mT) / len(B)))


def full_of(chain, Z):
    """The completion of a pattern as one matrix: Z_ij = Z_{i,i+1}Z_{i+1}⁻¹Z_{i+1,j}."""
    K = len(Z.below)
    rows = [[Z.own[0]] * (K + 1) for _ in range(K + 1)]
    for j in range(K + 1):
        rows[j][j] = Z.own[j]
        for i in reversed(range(j)):
            onward = torch.linalg.solve(Z.own[i + 1], Z.below[i]).mT
            rows[i][j] = onward @ rows[i + 1][j]
            rows[j][i] = rows[i][j].mT
    return torch.cat([torch.cat(row, 1) for row in rows])
