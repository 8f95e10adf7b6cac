"""Samples: from enclosed logits to margins, radii and counted claims."""

import hashlib
from fractions import Fraction
from math import prod

import numpy as np

from certlip.checker import reading as read
from certlip.checker.blocks import Block
from certlip.checker.functions import enclose
from certlip.checker.reading import Rejected, only, take
from certlip.checker.rounding import Array, norm, over, up

CHUNK, WORKING = 512, 2**23  # the most samples at a time, and numbers of all of them on the way
SQRT2 = float(np.nextafter(np.sqrt(2.0), 2.0))
CERTIFIED, MISCLASSIFIED, UNKNOWN = range(3)


def pair_bounds(blocks: list[Block]) -> Array:
    """L̄_aj for all pairs of classes: √2∏L, or ∏_{k<K}L times a bound of the last block for a, j."""
    *others, last = blocks
    before = prod((Fraction(block.lip) for block in others), start=Fraction(1))
    bounds = np.full((last.out,) * 2, over(SQRT2 * up(before * Fraction(last.lip)), 1))
    if last.kind == "affine":
        W = last.arrays["W"]
        rows = np.array([norm(over(np.abs(row - W), 1)) for row in W])
        bounds = np.minimum(bounds, over(up(before) * rows, 1))
    for a, j, lip in last.pairs:
        bounds[a, j] = bounds[j, a] = min(bounds[a, j], up(before * Fraction(lip)))
    return bounds


def radii(y: Array, E: Array, bounds: Array, predicted: np.ndarray) -> Array:
    """Radii strictly below min_j (ŷ_a − ŷ_j − √2E)/L̄_aj, the quotient of exact numbers."""
    own = (np.arange(len(y)), predicted)
    margin = np.nextafter(y[own][:, None] - y, -np.inf)
    margin = np.nextafter(margin - over(SQRT2 * E, 1)[:, None], -np.inf)
    radius = np.nextafter(margin / bounds[predicted], -np.inf)
    radius[own] = np.inf
    return radius.min(axis=1)  # NaN stays NaN


class Samples:
    """The stored inputs, labels and claims per sample."""

    def __init__(self, document: dict, arrays: dict[str, np.ndarray]):
        node, data = document["samples"], document["data"]
        only(node, "x", "label", "predicted", "status", "radius_lower", "z")
        n, divisor = read.field(data, "n", int), data.get("divisor")
        if divisor is not None and not (type(divisor) in (int, float) and 0 < divisor <= 2**53):
            raise read.CertificateError(f"'divisor' {divisor!r:.60}, expected a positive number")
        self.n, self.divisor, self.states = n, divisor, node["z"]
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
            digest.update(self.x(slice(start, start + CHUNK)).tobytes())
        digest.update(self.label.tobytes())
        return digest.hexdigest()

    def prove(self, blocks: list[Block], arrays: dict[str, np.ndarray]) -> int:
        """Prove every certified sample, `radius_lower` ≤ R and R > 0, with E ← L_k E + δ_k."""
        self._check_status(blocks[-1].out)
        states = {str(k): len(b.vectors["b_z"]) for k, b in enumerate(blocks) if "W" in b.maps}
        names, bounds = only(self.states, *states), pair_bounds(blocks)
        guesses = {k: take(arrays, names[k], "<f8 <f4", (self.n, states[k])) for k in states}
        maps = [K for block in blocks for K in block.maps.values()]
        numbers = max([1, *(K.pixels * max(K.inner, len(K.K)) for K in maps)])
        step, certified = min(max(WORKING // numbers, 1), CHUNK), np.flatnonzero(self.status == 0)
        for start in range(0, len(certified), step):
            rows = certified[start : start + step]
            y, E = self.x(rows), np.zeros(len(rows))
            for k, block in enumerate(blocks):
                guess = guesses[str(k)][rows].astype(np.float64) if str(k) in guesses else None
                y, delta = enclose(block, y, guess)
                E = over(block.lip * E + delta, 2)
            claimed, R = self.radius[rows], radii(y, E, bounds, self.predicted[rows])
            good = (claimed <= R) & (R > 0.0)
            if not good.all():
                i = int(np.argmin(good))
                text = f"radius_lower {claimed[i]}, expected <= {R[i]} > 0"
                raise Rejected(f"sample {rows[i]}: {text}")
        return len(certified)

    def _check_status(self, classes: int) -> None:
        """Labels and predictions are classes; the status fits them and the radius."""
        certified, right = self.status == CERTIFIED, self.predicted == self.label
        kinds = [certified, self.status == MISCLASSIFIED, self.status == UNKNOWN]
        good = np.select(kinds, [right, ~right, True], False) & (classes > 1)
        good &= np.minimum(self.label, self.predicted + kinds[2]) >= 0  # −1: unknown and no class
        good &= np.maximum(self.label, self.predicted) < classes
        good &= (self.radius == 0.0) | (certified & (self.radius > 0.0))
        if not good.all():
            i = int(np.argmin(good))
            raise Rejected(f"sample {i}: expected label, predicted, status and radius to agree")

    def count(self, eps: dict, claims: dict) -> dict[str, int]:
        """Count each claim again; ε is a double that is no less than what its text says."""
        only(claims, "natural_correct", "certified_correct")
        claimed = claims | only(claims["certified_correct"], *eps)
        counted = {"natural_correct": int((self.predicted == self.label).sum())}
        for text in eps:
            if not Fraction(read.number(eps, text)) >= read.rational(text):
                raise Rejected(f"eps {eps[text]!r:.60}, expected at least {text!r}")
            enough = (self.status == CERTIFIED) & (self.radius >= read.number(eps, text))
            counted[text] = int(enough.sum())
        for name, count in counted.items():
            if read.field(claimed, name, int) != count:
                raise Rejected(f"{name!r} {claimed[name]}, expected {count}")
        return counted
