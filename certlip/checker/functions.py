"""What a block computes: for an exact input an output, with a proven bound of its error."""

from typing import Any

import numpy as np

from certlip.checker.reading import CertificateError, only
from certlip.checker.rounding import UNIT, Array, gamma, norm, over

# σ(v, parameter), the names of parameters, and the evaluation's own error relative to σ̂(v):
# 0, one rounding, or 2⁻⁴⁸ (the contract assumes 2⁻⁴⁹ of the mathematics library, relative to σ(v)).
_KINDS = {
    "identity": (lambda v, _: v, (), 0.0),
    "relu": (lambda v, _: np.maximum(v, 0.0), (), 0.0),
    "leaky_relu": (lambda v, s: np.where(v >= 0.0, v, s * v), ["slope"], UNIT),
    "tanh": (lambda v, _: np.tanh(v), (), 2.0**-48),
    "elu": (lambda v, a: np.maximum(v, 0) + a * np.expm1(np.minimum(v, 0)), ["alpha"], 2.0**-48),
}


def read_sigma(segments: list, width: int) -> list[tuple]:
    """Read `sigma`, segments (name, count, parameter) of `width` coordinates in all."""
    for name, count, parameters in segments:
        values = [*only(parameters, *_KINDS[name][1]).values()]
        real = all(type(value) in (int, float) and 0.0 <= value <= 1.0 for value in values)
        if type(count) is not int or count < 1 or not real:
            raise CertificateError(f"sigma {name}, expected a count > 0, parameter in [0, 1]")
    if sum(count for _, count, _ in segments) != width:
        raise CertificateError(f"sigma {segments!r:.80}, expected {width} coordinates")
    return [(name, count, *map(float, own.values()), 0.0)[:3] for name, count, own in segments]


def activate(sigma: list, v: Array) -> tuple[Array, Array]:
    """Return σ̂(v) and a bound of its own error. Slopes in [0, 1] pass on an error of v unchanged."""
    value, error, start = np.empty_like(v), np.empty_like(v), 0
    for name, count, parameter in sigma:
        part, (function, _, relative) = (..., slice(start, start + count)), _KINDS[name]
        value[part] = function(v[part], parameter)
        error[part] = over(relative * np.abs(value[part]), 1)
        start += count
    return value, error


def move(kind: str, m: dict, x: Array) -> tuple[Array, float]:
    """Return y for rows x of a block without weights, and c with ‖ŷ − y‖ ≤ c‖x‖."""
    n, c = len(x), 0.0
    if kind == "pooling":
        k, c = m["window"], gamma(m["window"] ** 2 + 1)
        parts = x.reshape(n, m["channels"], m["height"] // k, k, m["width"] // k, k)
        y = parts.sum(axis=(3, 5)) / k
    elif kind == "window":  # a border of zeros stands for all that is outside
        image = np.pad(x.reshape(n, m["channels"], m["height"], m["width"]), 1)[1:-1, 1:-1]
        shape = (m["rows"], m["row_step"], m["columns"], m["column_step"])
        i = np.arange(m["top"], m["top"] + shape[0] * shape[1]).clip(-1, m["height"]) + 1
        j = np.arange(m["left"], m["left"] + shape[2] * shape[3]).clip(-1, m["width"]) + 1
        y = image[:, :, i[:, None], j].reshape(n, -1, *shape).transpose(0, 1, 3, 5, 2, 4)
    elif kind == "resize":
        y = np.pad(x.reshape(n, m["d"])[:, : m["q"]], [(0, 0), (0, max(m["q"] - m["d"], 0))])
    else:
        y = -np.sort(-x.reshape(n, m["d"] // m["group"] // m["stride"], m["group"], m["stride"]), 2)
    return y.reshape(n, -1), c


def enclose(block: Any, x: Array, guess: Array | None = None) -> tuple[Array, Array]:
    """For an exact batch x return ŷ and a proven δ ≥ ‖ŷ − f(x)‖₂ per sample, of a proven block."""
    if guess is not None:
        return _equilibrium(block, x, guess)
    if "D" in block.arrays:
        return _residual(block, x)
    if block.maps:
        y = block.maps["K"](x) + block.vectors["b"]
        return y, over(block.maps["K"].error() * norm(x) + UNIT * norm(y), 3)
    if block.kind == "normalize":
        y = (x - block.arrays["mean"]) / block.arrays["std"]
        return y, over(4.0 * UNIT * norm(y), 1)  # two roundings
    if block.sigma:
        y, own = activate(block.sigma, x)
        return y, norm(own)
    y, c = move(block.kind, block.meta, x)
    return y, over(c * norm(x), 1)


def _residual(block: Any, x: Array) -> tuple[Array, Array]:
    """y = x − 2Kᵀ(D ∘ σ(Kx + b)); ‖Kᵀ D e‖ ≤ √(1 + δ) ‖D^½ e‖ for the error e of σ."""
    K, KT, root = block.maps["K"], block.maps["K"].adjoint(), np.sqrt(block.arrays["D"])
    v, D = K(x) + block.vectors["b"], block.vectors["D"]
    s, own = activate(block.sigma, v)
    y = x - 2.0 * KT(D * s)
    own = over(own + UNIT * (np.abs(v) + np.abs(s)), 5)  # of σ, the sum with b, the product by D
    e = np.sqrt(1.0 + block.delta) * (norm(np.sqrt(D) * own) + K.error(root) * norm(x))
    e = over(e + KT.error(right=root) * norm(over(np.sqrt(D) * np.abs(s), 2)), 7)
    return y, over(2.0 * e + UNIT * norm(y), 3)


def _equilibrium(block: Any, x: Array, z: Array) -> tuple[Array, Array]:
    """y = Gz* + b_y for the true z*, from any ẑ with residual e = ẑ − σ(Wẑ + Ux + b_z).

    z̃ = ẑ − e = σ(Wz̃ + We + Ux + b_z), so by (3) ‖z̃ − z*‖_Γ ≤ ‖We‖_Γ/μ, and ẑ − z* = e + z̃ − z*.
    On images e is known up to r in norm. Matrices are bounded entry by entry, e within r; and if W is
    strictly lower triangular, |ẑ − z*| ≤ t with t = |e| + r + |W|t, by substitution.
    """
    (W, U, G), root = (block.maps[name] for name in "WUG"), over(np.sqrt(block.gam), 1)
    a, y = W(z) + U(x), G(z) + block.vectors["b_y"]
    b = a + block.vectors["b_z"]
    s, own = activate(block.sigma, b)
    e, r = z - s, over(own + UNIT * (np.abs(a) + np.abs(b) + np.abs(z - s)), 5)
    if block.kind != "equilibrium":
        pixels, W_error = np.repeat(root, W.pixels), W.error(root, over(1.0 / root, 2))
        z_gam, r, e_gam, We = (norm(over(pixels * np.abs(v), 2)) for v in (z, r, e, W(e)))
        r = r + W_error * z_gam + U.error(root) * norm(x)  # in Γ, like all of these
        far = block.slope * (e_gam + r + (We + W_error * e_gam + block.omega * r) / block.mu)
        return y, over(far + G.error() * norm(z) + UNIT * norm(y), 12)
    W, U, G = (block.arrays[name] for name in "WUG")
    with np.errstate(all="ignore"):  # NaN and infinity lose the comparison
        size_z, size_x = gamma(len(W)) * np.abs(z), gamma(U.shape[1]) * np.abs(x)
        r = over(r + _product(size_z, W) + _product(size_x, U), 3)
        r_y = over(_product(size_z, G) + UNIT * np.abs(y), 2)
        t, own = over(np.abs(e) + r, 1), over(gamma(len(W)) * np.abs(e) + r, 2)
        near, far = (over(np.abs(e @ A.T) + _product(own, A), 1) for A in (G, W))
        far = block.slope * norm(over(root * far, 1)) / block.mu
        delta, start = over(norm(over(r_y + near, 1)) + far, 3), 0
        for row in range(1, len(W) + 1) if not np.triu(W).any() else ():
            if row == len(W) or W[row, start:row].any():  # else W is zero on their own square
                earlier = _product(t[:, :start], W[start:row, :start])
                t[:, start:row], start = over(t[:, start:row] + earlier, 1), row
        return y, np.fmin(norm(over(r_y + _product(t, G), 1)) if start else delta, delta)


def _product(t: Array, A: Array) -> Array:
    """Upper bound of |A|t."""
    return over(t @ np.abs(A).T, A.shape[1])
