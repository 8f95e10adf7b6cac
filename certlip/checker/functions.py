"""What a block computes: for an exact input an output, with a proven bound of its error."""

import numpy as np

from certlip.checker.reading import CertificateError, only
from certlip.checker.rigorous import UNIT, Array, gamma, norm, over

# σ(v, parameter), its name, and the evaluation's own error relative to σ̂(v):
# 0, one rounding, or 2⁻⁴⁸ (the contract assumes 2⁻⁴⁹ of the mathematics library, relative to σ(v)).
_KINDS = {
    "identity": (lambda v: v, (), 0.0),
    "relu": (lambda v: np.maximum(v, 0.0), (), 0.0),
    "leaky_relu": (lambda v, s: np.where(v >= 0.0, v, s * v), ["slope"], UNIT),
    "tanh": (lambda v: np.tanh(v), (), 2.0**-48),
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
    return segments


def activate(sigma: list, v: Array) -> tuple[Array, Array]:
    """Return σ̂(v) and a bound of its own error. Slopes in [0, 1] pass on an error of v unchanged."""
    value, error, start = np.empty_like(v), np.empty_like(v), 0
    for name, count, parameters in sigma:
        part, (function, _, relative) = (..., slice(start, start + count)), _KINDS[name]
        value[part] = function(v[part], *parameters.values())
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


def enclose(block, x: Array, guess: Array | None = None) -> tuple[Array, Array]:
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


def _residual(block, x: Array) -> tuple[Array, Array]:
    """y = x − 2Kᵀ(D ∘ σ(Kx + b)); ‖Kᵀ D e‖ ≤ √(1 + δ) ‖D^½ e‖ for the error e of σ."""
    K, KT, root = block.maps["K"], block.maps["K"].adjoint(), np.sqrt(block.arrays["D"])
    v, D = K(x) + block.vectors["b"], block.vectors["D"]
    s, own = activate(block.sigma, v)
    y = x - 2.0 * KT(D * s)
    own = over(own + UNIT * (np.abs(v) + np.abs(s)), 5)  # of σ, the sum with b, the product by D
    e = np.sqrt(1.0 + block.delta) * (norm(np.sqrt(D) * own) + K.error(root) * norm(x))
    e = over(e + KT.error(right=root) * norm(over(np.sqrt(D) * np.abs(s), 2)), 7)
    return y, over(2.0 * e + UNIT * norm(y), 3)


def _equilibrium(block, x: Array, z: Array) -> tuple[Array, Array]:
    """y = Gz* + b_y for the true z*, from any ẑ with residual e = ẑ − σ(Wẑ + Ux + b_z).

    z̃ = ẑ − e = σ(Wz̃ + We + Ux + b_z), so by (3) ‖z̃ − z*‖_Γ ≤ ‖We‖_Γ/μ. If U has full row rank, z̃
    is the state of x + U⁺We, so ‖G(z̃ − z*)‖ ≤ L‖U⁺We‖ ≤ L‖We‖_Γ/σ_min(Γ^½U). The computed e is within
    r, in the norm of Γ. If a matrix W is strictly lower triangular, |ẑ − z*| ≤ t = |e| + |W|t.
    """
    (W, U, G), root = (block.maps[name] for name in "WUG"), over(np.sqrt(block.gam), 1)
    a, y = W(z) + U(x), G(z) + block.vectors["b_y"]
    b = a + block.vectors["b_z"]
    s, own = activate(block.sigma, b)
    e, own = z - s, over(own + UNIT * (np.abs(a) + np.abs(b) + np.abs(z - s)), 5)
    pixels, W_error = np.repeat(root, W.pixels), W.error(root, over(1.0 / root, 2))
    z_gam, r, e_gam, We = (norm(over(pixels * np.abs(v), 2)) for v in (z, own, e, W(e)))
    r = r + W_error * z_gam + U.error(root) * norm(x)
    far = block.slope * r + block.reach * (We + W_error * e_gam + block.omega * r)
    far = over(norm(G(e)) + G.error() * norm(e) + far, 12)
    if block.kind == "equilibrium" and not np.triu(block.arrays["W"]).any():
        A, B, C = (np.abs(block.arrays[name]) for name in "WUG")
        with np.errstate(all="ignore"):  # NaN and infinity lose the comparison
            r = W.gamma * (np.abs(z) @ A.T) + U.gamma * (np.abs(x) @ B.T)
            t = over(np.abs(e) + own + r, sum(B.shape) + 4).T
            for row in range(1, len(A)):
                t[row] = over(t[row] + A[row, :row] @ t[:row], row + 1)
            far = np.fmin(far, norm(over(C @ t, len(A)).T))
    return y, over(far + G.error() * norm(z) + UNIT * norm(y), 4)
