"""The blocks of a network: what may stand in them, their hash, and their Lipschitz proofs."""

import hashlib
import json
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from certlip.checker import psd
from certlip.checker.activations import Sigma, read_sigma
from certlip.checker.document import field, number, only
from certlip.checker.rounding import UNIT, Array, norm, over
from certlip.checker.verdict import CertificateError, Rejected

# The arrays with a letter per axis (d is the width of the input), the axes of σ and of the output,
# and the rule of the proof with what it stores besides `lipschitz_upper`.
_RULE_E = ("equilibrium", "condition", "lam", "gam", "mu_lower")
_KINDS = {
    "normalize": ({"mean": "d", "std": "d"}, "", "d", ("diagonal",)),
    "affine": ({"W": "qd", "b": "q"}, "", "q", ("spectral",)),
    "activation": ({}, "d", "d", ("slope",)),
    "residual": ({"W": "dk", "D": "k", "b": "k"}, "k", "d", ("residual", "delta")),
    "equilibrium": ({"U": "nd", "W": "nn", "G": "qn", "b_z": "n", "b_y": "q"}, "n", "q", _RULE_E),
}


class Block(NamedTuple):
    """One block as stored: arrays by the letters of the contract, and the width of its output."""

    kind: str
    meta: dict
    arrays: dict[str, Array]
    sigma: Sigma
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
    if array.dtype.str != dtype or array.ndim != len(shape) or array.shape != wanted:
        found = f"{array.dtype.str} {array.shape}"
        raise CertificateError(f"array {name!r} is {found}, expected {dtype} {shape}")
    return array


def read_block(node: dict, arrays: dict[str, np.ndarray], width: int) -> Block:
    """Read one block whose input has `width` coordinates."""
    kind = field(only(node, "kind", "arrays", "meta"), "kind", str)
    if kind not in _KINDS:
        raise CertificateError(f"block kind {kind!r:.60}, expected one of {list(_KINDS)}")
    axes, inner, outer, _ = _KINDS[kind]
    names, meta = only(field(node, "arrays", dict), *axes), field(node, "meta", dict)
    only(meta, *["sigma"] if inner else [])
    sizes, own = {"d": width}, {}
    for name, letters in axes.items():
        own[name] = take(arrays, names[name], "<f8", tuple(map(sizes.get, letters)))
        sizes.update(zip(letters, own[name].shape, strict=True))
    sigma = read_sigma(field(meta, "sigma", list, list), sizes[inner]) if inner else []
    if not ((own.get("std", np.ones(1)) > 0.0).all() and (own.get("D", np.ones(1)) >= 0.0).all()):
        raise Rejected("a scale has the wrong sign, expected std > 0 and D >= 0")
    return Block(kind, meta, own, sigma, sizes[outer])


def model_hash(blocks: list[Block]) -> str:
    """The contract's SHA-256 of the function: kinds, meta, shapes and weights, in order."""
    digest = hashlib.sha256()
    for block in blocks:
        shapes = {name: list(array.shape) for name, array in block.arrays.items()}
        head = {"kind": block.kind, "meta": block.meta, "shapes": shapes}
        digest.update(json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        for name in sorted(block.arrays):
            digest.update(block.arrays[name].tobytes())
    return digest.hexdigest()


def prove(block: Block, proof: dict, arrays: dict[str, np.ndarray]) -> Proven:
    """Prove the block's `lipschitz_upper` by its rule, the table in docs/certificate.md."""
    rule, *extra = _KINDS[block.kind][3]
    if field(proof, "rule", str) != rule:
        raise Rejected(f"rule {proof['rule']!r:.60}, expected {rule!r}")
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


def _prove_equilibrium(
    block: Block, lip: float, proof: dict, arrays: dict[str, np.ndarray]
) -> tuple[Proven, bool]:
    """(3) with μ > 0 gives a unique z and an error bound, then (10) the Lipschitz bound L.

    Multipliers are positive and far from overflow and underflow, as are products of a few of them.
    """
    W, U, G = (block.arrays[name] for name in ("W", "U", "G"))
    lam, gam = (take(arrays, proof[name], "<f8", (len(W),)) for name in ("lam", "gam"))
    mu = number(proof, "mu_lower")
    numbers = np.concatenate([lam, gam, [lip, mu]])
    if not ((numbers >= 2.0**-100) & (numbers <= 2.0**100)).all():
        raise Rejected("lam, gam, mu_lower or L out of range, expected them in 2^-100 ... 2^100")
    if field(proof, "condition", str) != "10":
        raise Rejected(f"condition {proof['condition']!r:.60}, expected '10'")
    if not psd.condition_3(W, gam, mu):
        raise Rejected(f"condition (3) not proven, expected it with mu_lower {mu!r}")
    scaled = G / np.sqrt(gam)  # two roundings
    slope = over(psd.norm_upper(scaled) + 4 * UNIT * norm(scaled.ravel()), 2)
    return Proven(lip, gam, mu, float(slope)), psd.condition_10(W, U, G, lam, lip)
