"""The blocks of a network: how they are stored, their Lipschitz proofs and local enclosures."""

import hashlib
import json
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from certlip.checker import psd
from certlip.checker.activations import activate, read_sigma
from certlip.checker.document import CertificateError, Rejected, field, number, only
from certlip.checker.rounding import UNIT, Array, dot, norm, over

# Arrays with a letter per axis (d: input); the axes of σ, if any, and of the output; rule and fields.
_KINDS = {
    "normalize": ("mean:d std:d", "d", "diagonal"),
    "affine": ("W:qd b:q", "q", "spectral"),
    "activation": ("", "dd", "slope"),
    "residual": ("W:dk D:k b:k", "kd", "residual delta"),
    "equilibrium": ("U:nd W:nn G:qn b_z:n b_y:q", "nq", "equilibrium condition lam gam mu_lower"),
}


class Block(NamedTuple):
    """One block as stored: arrays by the letters of the contract, and the width of its output."""

    kind: str
    meta: dict
    arrays: dict[str, Array]
    sigma: list[tuple[str, int, float]]
    out: int


class Proven(NamedTuple):
    """A Lipschitz bound; for an equilibrium also that (3) holds with gam, mu, and ‖GΓ^(−½)‖₂."""

    lip: float
    gam: Array | None = None
    mu: float = 0.0
    slope: float = 0.0


def take(arrays: dict[str, np.ndarray], name: object, dtype: str, shape: tuple) -> np.ndarray:
    """Return a stored array that must have this dtype and shape; None admits any size > 0."""
    if type(name) is not str or name not in arrays:
        raise CertificateError(f"array {name!r:.60}, expected a listed one")
    array = arrays[name]
    wanted = tuple(max(s, 1) if w is None else w for s, w in zip(array.shape, shape, strict=False))
    found = f"{array.dtype.str} {array.shape}"
    if array.ndim != len(shape) or found != f"{dtype} {wanted}":
        raise CertificateError(f"array {name!r} is {found}, expected {dtype} {shape}")
    return array


def read_block(node: dict, arrays: dict[str, np.ndarray], width: int) -> Block:
    """Read one block whose input has `width` coordinates."""
    kind = field(only(node, "kind", "arrays", "meta"), "kind", str)
    if kind not in _KINDS:
        raise CertificateError(f"block kind {kind!r:.60}, expected one of {list(_KINDS)}")
    (*inner, outer), axes = _KINDS[kind][1], dict(p.split(":") for p in _KINDS[kind][0].split())
    names, meta = only(field(node, "arrays", dict), *axes), field(node, "meta", dict)
    only(meta, *["sigma"] if inner else [])
    sizes, own = {"d": width}, {}
    for name, letters in axes.items():
        own[name] = take(arrays, names[name], "<f8", tuple(map(sizes.get, letters)))
        sizes.update(zip(letters, own[name].shape, strict=True))
    sigma = read_sigma(field(meta, "sigma", list, list), sizes[inner[0]]) if inner else []
    if not ((own.get("std", np.ones(1)) > 0.0).all() and (own.get("D", np.ones(1)) >= 0.0).all()):
        raise Rejected("a scale has the wrong sign, expected std > 0 and D >= 0")
    return Block(kind, meta, own, sigma, sizes[outer])


def model_hash(blocks: list[Block]) -> str:
    """The contract's SHA-256 of the function: kinds, meta, shapes and weights, in order."""
    digest = hashlib.sha256()
    for block in blocks:
        head = {"kind": block.kind, "meta": block.meta}
        head["shapes"] = {name: list(array.shape) for name, array in block.arrays.items()}
        digest.update(json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        for name in sorted(block.arrays):
            digest.update(block.arrays[name].tobytes())
    return digest.hexdigest()


def prove(block: Block, proof: dict, arrays: dict[str, np.ndarray]) -> Proven:
    """Prove the block's `lipschitz_upper` by its rule, the table in docs/certificate.md."""
    rule, *extra = _KINDS[block.kind][2].split()
    if field(proof, "rule", str) != rule or proof.get("condition", "10") != "10":
        raise Rejected(f"proof {proof!r:.200}, expected rule {rule!r} (and condition '10')")
    only(proof, "rule", "lipschitz_upper", *extra)
    result = Proven(number(proof, "lipschitz_upper"))
    if block.kind == "normalize":
        holds = Fraction(result.lip) * Fraction(float(block.arrays["std"].min())) >= 1
    elif block.kind == "affine":
        holds = psd.norm_at_most(block.arrays["W"], result.lip)
    elif block.kind == "activation":
        holds = result.lip >= 1.0
    elif block.kind == "residual":
        # With s = Δσ and v = WᵀΔx, slopes in [0, 1] give sᵀDs ≤ vᵀDs, so that
        # ‖Δy‖² ≤ ‖Δx‖² − 4sᵀDs + 4sᵀDWᵀWDs ≤ ‖Δx‖² + 4δ sᵀDs and sᵀDs ≤ vᵀDv ≤ (1 + δ)‖Δx‖².
        delta = number(proof, "delta")
        holds = Fraction(result.lip) ** 2 >= 1 + 4 * Fraction(delta) * (1 + Fraction(delta))
        holds = holds and psd.condition_residual(block.arrays["W"], block.arrays["D"], delta)
    else:
        result, holds = _prove_equilibrium(block, result.lip, proof, arrays)
    if not holds:
        raise Rejected(f"lipschitz_upper {result.lip!r} not proven, expected it by {rule!r}")
    return result


def _prove_equilibrium(block: Block, lip: float, proof: dict, arrays: dict) -> tuple[Proven, bool]:
    """(3) with μ > 0 gives a unique z and an error bound, then (10) the Lipschitz bound L.

    Multipliers are positive and far from overflow and underflow, as are products of a few of them.
    """
    W, U, G = (block.arrays[name] for name in ("W", "U", "G"))
    lam, gam = (take(arrays, proof[name], "<f8", (len(W),)) for name in ("lam", "gam"))
    mu = number(proof, "mu_lower")
    numbers = np.concatenate([lam, gam, [lip, mu]])
    if not ((numbers >= 2.0**-100) & (numbers <= 2.0**100)).all():
        raise Rejected("lam, gam, mu_lower or L out of range, expected them in 2^-100 ... 2^100")
    if not psd.condition_3(W, gam, mu):
        raise Rejected(f"condition (3) not proven, expected it with mu_lower {mu!r}")
    scaled = G / np.sqrt(gam)  # two roundings
    slope = over(psd.norm_upper(scaled) + 4 * UNIT * norm(scaled.ravel()), 2)
    return Proven(lip, gam, mu, float(slope)), psd.condition_10(W, U, G, lam, lip)


def enclose(block: Block, proven: Proven, x: Array, guess: Array | None) -> tuple[Array, Array]:
    """For an exact batch x return a guess ŷ and a proven δ ≥ ‖ŷ − f(x)‖₂ per sample."""
    if block.kind == "equilibrium":
        return _equilibrium(block, proven, x, guess)
    get: Any = block.arrays.get
    W, D, b, mean, std = (get(name) for name in ("W", "D", "b", "mean", "std"))
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


def _equilibrium(block: Block, proven: Proven, x: Array, z: Any) -> tuple[Array, Array]:
    """y = Gz* + b_y for the true z*, from any ẑ with residual e = ẑ − σ(Wẑ + Ux + b_z).

    z̃ = ẑ − e = σ(Wz̃ + We + Ux + b_z), so by (3) ‖z̃ − z*‖_Γ ≤ ‖We‖_Γ/μ, and ẑ − z* = e + z̃ − z*.
    """
    W, U, G, b_z, b_y = (block.arrays[name] for name in ("W", "U", "G", "b_z", "b_y"))
    (v, r), (w, r_w) = dot(z, W, b_z), dot(x, U)
    s, r = activate(block.sigma, v + w, over(r + r_w + UNIT * np.abs(v + w), 2))
    e = z - s
    r = over(r + UNIT * np.abs(e), 1)  # the true residual is within r of e
    y, r_y = dot(z, G, b_y)
    inner = norm(over(np.sqrt(np.asarray(proven.gam)) * _magnitude(e, W, r), 2))
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
