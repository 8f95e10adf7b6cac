"""Samples: from enclosed logits to margins, radii and counted claims."""

from fractions import Fraction
from math import prod

import numpy as np

from certlip.checker.blocks import Block
from certlip.checker.functions import enclose
from certlip.checker.reading import CertificateError, Rejected, number, only, take
from certlip.checker.rigorous import Array, norm, over

CHUNK, WORKING = 512, 2**23  # the most samples at a time, and numbers of all of them on the way
SQRT2 = float(np.nextafter(np.sqrt(2.0), 2.0))
CERTIFIED, MISCLASSIFIED, UNKNOWN = range(3)


def pair_bounds(blocks: list[Block]) -> Array:
    """L̄_aj for all pairs of classes: √2∏L, or ∏_{k<K}L times a bound of the last block for a, j."""
    *others, last = blocks
    before = over(float(prod(Fraction(block.lip) for block in others)), 1)
    bounds = np.full((last.out,) * 2, over(SQRT2 * before * last.lip, 2))
    if last.kind == "affine":
        rows = [norm(over(np.abs(row - last.arrays["W"]), 1)) for row in last.arrays["W"]]
        bounds = np.minimum(bounds, over(before * np.array(rows), 1))
    for a, j, lip in last.pairs:
        bounds[a, j] = bounds[j, a] = min(bounds[a, j], over(before * lip, 1))
    return bounds


def radii(y: Array, E: Array, bounds: Array, predicted: np.ndarray) -> Array:
    """Radii strictly below min_j (ŷ_a − ŷ_j − √2E)/L̄_aj, the quotient of exact numbers."""
    own = (np.arange(len(y)), predicted)
    margin = np.nextafter(y[own][:, None] - y, -np.inf) - over(SQRT2 * E, 1)[:, None]
    radius = np.nextafter(np.nextafter(margin, -np.inf) / bounds[predicted], -np.inf)
    radius[own] = np.inf
    return radius.min(axis=1)  # NaN stays NaN


class Samples:
    """The stored inputs, labels and claims per sample."""

    def __init__(self, document: dict, arrays: dict[str, np.ndarray]):
        node, data = document["samples"], document["data"]
        only(node, "x", *(own := ("label", "predicted", "status")), "radius_lower", "z")
        self.n, self.divisor, self.states = data["n"], data.get("divisor", 1), node["z"]
        if not 0 < self.divisor <= 2**53:
            raise CertificateError(f"'divisor' {self.divisor!r:.60}, expected a positive number")
        dtype = "|u1" if "divisor" in data else "<f8"
        self.stored = take(arrays, node["x"], dtype, (self.n, None))
        columns = (take(arrays, node[name], "<i8", (self.n,)) for name in own)
        self.label, self.predicted, self.status = columns
        self.radius = take(arrays, node["radius_lower"], "<f8", (self.n,))

    def x(self, rows: int | np.ndarray) -> Array:
        """The inputs that the statement is about: doubles, or the nearest double to x/divisor."""
        return self.stored[rows].astype(np.float64) / float(self.divisor)  # by 1 is exact

    def prove(self, blocks: list[Block], arrays: dict[str, np.ndarray]) -> None:
        """Prove every certified sample, `radius_lower` ≤ R and R > 0, with E ← L_k E + δ_k."""
        right, certified = self.predicted == self.label, self.status == CERTIFIED
        good = (right == certified) & (self.status <= MISCLASSIFIED) | (self.status == UNKNOWN)
        good &= (self.radius >= 0.0) & (certified | (self.radius == 0.0)) & (self.status >= 0)
        good &= np.minimum(self.label, self.predicted + (self.status == UNKNOWN)) >= 0  # or −1
        good &= (np.maximum(self.label, self.predicted) < blocks[-1].out) & (blocks[-1].out > 1)
        if not good.all():
            raise Rejected(f"sample {np.argmin(good)}: expected label, status and radius to agree")
        states = {str(k): len(b.vectors["b_z"]) for k, b in enumerate(blocks) if "U" in b.maps}
        names, bounds = only(self.states, *states), pair_bounds(blocks)
        guesses = {k: take(arrays, names[k], "<f8 <f4", (self.n, states[k])) for k in states}
        numbers = [K.pixels * max(K.inner, len(K.K)) for b in blocks for K in b.maps.values()]
        step, chosen = min(WORKING // max([1, *numbers]) + 1, CHUNK), np.flatnonzero(certified)
        for start in range(0, len(chosen), step):
            rows = chosen[start : start + step]
            y, E = self.x(rows), np.zeros(len(rows))
            for k, block in enumerate(blocks):
                guess = guesses[str(k)][rows].astype(np.float64) if str(k) in guesses else None
                y, delta = enclose(block, y, guess)
                E = over(block.lip * E + delta, 2)
            claimed, R = self.radius[rows], radii(y, E, bounds, self.predicted[rows])
            good = (claimed <= R) & (R > 0.0)
            if not good.all():
                i = int(np.argmin(good))
                raise Rejected(f"sample {rows[i]}: radius_lower {claimed[i]}, expected <= {R[i]}")

    def count(self, eps: dict, claims: dict) -> tuple[int, dict[str, int]]:
        """Count each claim again; ε is a double that is no less than what its text says."""
        certain, certified = self.status == CERTIFIED, {}
        for text, upper in eps.items():
            if Fraction(number(upper)) < number(text, Fraction):
                raise Rejected(f"eps {upper!r:.60}, expected at least {text!r}")
            certified[text] = int((certain & (self.radius >= number(upper))).sum())
        natural = int((self.predicted == self.label).sum())
        if (found := {"natural_correct": natural, "certified_correct": certified}) != claims:
            raise Rejected(f"{claims!r:.200}, expected {found}")
        return natural, certified
