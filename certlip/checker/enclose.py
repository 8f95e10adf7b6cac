"""Local enclosures: for an exact batch x, a guess ŷ and a proven δ ≥ ‖ŷ − f(x)‖₂ per sample."""

import numpy as np

from certlip.checker.activations import activate
from certlip.checker.blocks import Block, Proven
from certlip.checker.rounding import UNIT, Array, dot, norm, over


def enclose(block: Block, proven: Proven, x: Array, guess: Array | None) -> tuple[Array, Array]:
    """Return ŷ and δ for one block; an equilibrium needs its proof and a guess of its state."""
    if block.kind == "equilibrium":
        return _equilibrium(block, proven, x, guess)
    W, D, b, mean, std = (block.arrays.get(name) for name in ("W", "D", "b", "mean", "std"))
    if block.kind == "normalize":
        y = (x - mean) / std
        error = over(4.0 * UNIT * np.abs(y), 1)  # two roundings
    elif block.kind == "affine":
        y, error = dot(x, W, b)
    elif block.kind == "activation":
        y, error = activate(block.sigma, x, np.zeros_like(x))
    else:  # residual: y = x − 2W(D ∘ σ(Wᵀx + b))
        s, error = activate(block.sigma, *dot(x, W.T, b))
        a = D * s
        p, error = dot(a, W, radius=over(UNIT * np.abs(a) + D * error, 2))
        y = x - 2.0 * p
        error = over(2.0 * error + UNIT * np.abs(y), 1)
    return y, norm(error)


def _equilibrium(block: Block, proven: Proven, x: Array, z: Array) -> tuple[Array, Array]:
    """y = Gz* + b_y for the true z*, from any ẑ with residual e = ẑ − σ(Wẑ + Ux + b_z).

    z̃ = ẑ − e = σ(Wz̃ + We + Ux + b_z), so by (3) ‖z̃ − z*‖_Γ ≤ ‖We‖_Γ/μ, and ẑ − z* = e + z̃ − z*.
    """
    W, U, G, b_z, b_y = (block.arrays[name] for name in ("W", "U", "G", "b_z", "b_y"))
    (v, r), (w, r_w) = dot(z, W, b_z), dot(x, U)
    s, r = activate(block.sigma, v + w, over(r + r_w + UNIT * np.abs(v + w), 2))
    e = z - s
    r = over(r + UNIT * np.abs(e), 1)  # the true residual is within r of e
    y, r_y = dot(z, G, b_y)
    inner = norm(over(np.sqrt(proven.gam) * _magnitude(e, W, r), 2))
    outer = norm(over(r_y + _magnitude(e, G, r), 1))
    delta = over(outer + proven.slope * inner / proven.mu, 3)
    if not np.triu(W).any():
        with np.errstate(all="ignore"):  # may overflow; NaN and infinity lose the comparison
            distance = _substitute(W, over(np.abs(e) + r, 1))
            other = norm(over(r_y + over(distance @ np.abs(G).T, len(W)), 1))
            delta = np.where(other < delta, other, delta)
    return y, delta


def _magnitude(e: Array, A: Array, radius: Array) -> Array:
    """Upper bound of |Ae'| for every |e' − e| ≤ radius."""
    value, error = dot(e, A, radius=radius)
    return over(np.abs(value) + error, 1)


def _substitute(W: Array, t: Array) -> Array:
    """Upper bound of s = t + |W|s for strictly lower triangular W: |ẑ − z*| ≤ |e| + |W||ẑ − z*|.

    Rows are taken together while W is exactly zero on the square of their own coordinates.
    """
    start = 0
    for row in range(1, len(W) + 1):
        if row == len(W) or W[row, start:row].any():
            earlier = t[:, :start] @ np.abs(W[start:row, :start]).T
            t[:, start:row] = over(t[:, start:row] + earlier, start + 1)
            start = row
    return t
