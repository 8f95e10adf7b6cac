"""Samples: from enclosed logits to margins, radii and counted claims."""

import hashlib
from fractions import Fraction
from math import prod

import numpy as np

from certlip.checker.blocks import Block, Proven, enclose, take
from certlip.checker.document import CertificateError, Rejected, field, number, only, rational
from certlip.checker.rounding import Array, norm, over, up

CHUNK = 512
SQRT2 = float(np.nextafter(np.sqrt(2.0), 2.0))
CERTIFIED, MISCLASSIFIED, UNKNOWN = range(3)


class Samples:
    """The stored inputs, labels and claims per sample."""

    def __init__(self, document: dict, arrays: dict[str, np.ndarray]):
        node, data = field(document, "samples", dict), field(document, "data", dict)
        only(node, "x", "label", "predicted", "status", "radius_lower", "z")
        n, divisor = field(data, "n", int), data.get("divisor")
        if divisor is not None and not (type(divisor) in (int, float) and 0 < divisor <= 2**53):
            raise CertificateError(f"'divisor' {divisor!r:.60}, expected a positive number")
        self.n, self.divisor, self.states = n, divisor, field(node, "z", dict)
        self.stored = take(arrays, node["x"], "<f8" if divisor is None else "|u1", (n, None))
        self.label, self.predicted, self.status = (
            take(arrays, node[name], "<i8", (n,)) for name in ("label", "predicted", "status")
        )
        self.radius = take(arrays, node["radius_lower"], "<f8", (n,))

    def x(self, rows: slice | np.ndarray) -> Array:
        """The inputs that the statement is about: doubles, or the nearest double to x/divisor."""
        x = self.stored[rows].astype(np.float64)
        return x if self.divisor is None else x / float(self.divisor)

    def data_hash(self) -> str:
        """The contract's SHA-256 of inputs and labels."""
        digest = hashlib.sha256()
        for start in range(0, self.n, CHUNK):
            digest.update(self.x(slice(start, start + CHUNK)).astype("<f8").tobytes())
        digest.update(self.label.tobytes())
        return digest.hexdigest()

    def check_status(self, classes: int) -> None:
        """Labels and predictions are classes; the status fits them and the radius."""
        certified, right = self.status == CERTIFIED, self.predicted == self.label
        kinds = [certified, self.status == MISCLASSIFIED, self.status == UNKNOWN]
        good = np.select(kinds, [right, ~right, True], False) & (classes > 1)
        good &= np.minimum(self.label, self.predicted + kinds[2]) >= 0  # −1: unknown and no class
        good &= np.maximum(self.label, self.predicted) < classes
        good &= (self.radius == 0.0) | (certified & (self.radius > 0.0))
        if not good.all():
            i = int(np.argmin(good))
            row = [f"{k} {vars(self)[k][i]}" for k in ("label", "predicted", "status", "radius")]
            raise Rejected(f"sample {i}: {', '.join(row)}, expected them to agree")


def pair_bounds(blocks: list[Block], proven: list[Proven]) -> Array:
    """L̄_aj for all pairs of classes: √2∏L, or ∏_{k<K}L ‖w_a − w_j‖ if the last block is affine."""
    lips = [Fraction(block.lip) for block in proven]
    bounds = np.full((blocks[-1].out,) * 2, over(SQRT2 * up(prod(lips)), 1))
    if blocks[-1].kind == "affine":
        W, before = blocks[-1].arrays["W"], up(prod(lips[:-1], start=Fraction(1)))
        pairs = np.array([norm(over(np.abs(row - W), 1)) for row in W])
        bounds = np.minimum(bounds, over(before * pairs, 1))
    return bounds


def radii(y: Array, E: Array, bounds: Array, predicted: np.ndarray) -> Array:
    """Radii strictly below min_j (ŷ_a − ŷ_j − √2E)/L̄_aj, the quotient of exact numbers."""
    own = (np.arange(len(y)), predicted)
    margin = np.nextafter(y[own][:, None] - y, -np.inf)
    margin = np.nextafter(margin - over(SQRT2 * E, 1)[:, None], -np.inf)
    radius = np.nextafter(margin / bounds[predicted], -np.inf)
    radius[own] = np.inf
    return radius.min(axis=1)  # NaN stays NaN


def check_samples(samples: Samples, blocks: list[Block], proven: list[Proven], arrays) -> None:
    """Prove every certified sample, `radius_lower` ≤ R and R > 0, with E ← L_k E + δ_k."""
    widths = {k: len(b.arrays["W"]) for k, b in enumerate(blocks) if b.kind == "equilibrium"}
    names = only(samples.states, *map(str, widths))
    guesses = {k: take(arrays, names[str(k)], "<f8", (samples.n, widths[k])) for k in widths}
    bounds, certified = pair_bounds(blocks, proven), np.flatnonzero(samples.status == CERTIFIED)
    for start in range(0, len(certified), CHUNK):
        rows = certified[start : start + CHUNK]
        y, E = samples.x(rows), np.zeros(len(rows))
        for k, block in enumerate(blocks):
            guess = guesses[k][rows] if k in guesses else None
            y, delta = enclose(block, proven[k], y, guess)
            E = over(proven[k].lip * E + delta, 2)
        claimed, R = samples.radius[rows], radii(y, E, bounds, samples.predicted[rows])
        good = (claimed <= R) & (R > 0.0)
        if not good.all():
            i = int(np.argmin(good))
            raise Rejected(f"sample {rows[i]}: radius_lower {claimed[i]}, expected <= {R[i]} > 0")


def check_claims(samples: Samples, document: dict) -> dict[str, int]:
    """Count each claim again; ε is compared as a double that is no less than what its text says."""
    eps, claims = field(document, "eps", dict), field(document, "claims", dict)
    only(claims, "natural_correct", "certified_correct")
    certified = only(field(claims, "certified_correct", dict), *eps)
    claimed = {text: field(certified, text, int) for text in eps}
    claimed["natural_correct"] = field(claims, "natural_correct", int)
    counted = {"natural_correct": int((samples.predicted == samples.label).sum())}
    for text in eps:
        if not Fraction(number(eps, text)) >= rational(text):
            raise Rejected(f"eps {eps[text]!r:.60}, expected at least {text!r}")
        enough = (samples.status == CERTIFIED) & (samples.radius >= number(eps, text))
        counted[text] = int(enough.sum())
    if claimed != counted:
        raise Rejected(f"{claimed!r:.300}, expected {counted}")
    return counted
