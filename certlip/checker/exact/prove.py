"""Every bound and every certified sample of a certificate, once more."""

from fractions import Fraction
from math import prod
from os import PathLike

import numpy as np

from certlip.checker.exact.blocks import ExactBlock
from certlip.checker.exact.rationals import rational
from certlip.checker.reading import Rejected, number, unpack

ROOT2 = Fraction(665857, 470832)  # its square is above 2


def prove_exactly(path: str | PathLike) -> tuple[tuple[str, str], ...]:
    """Prove what a certificate claims that the checker has accepted; hashes and counts were its part.

    Raises Rejected: a claim does not hold, or not by what is stored. Raises Refused: a kind, a
    function or a size that this route does not speak about.
    """
    document, arrays = unpack(path)
    nodes, proofs, checks = document["model"]["blocks"], document["proofs"], []
    blocks = [ExactBlock(*pair, arrays) for pair in zip(nodes, proofs, strict=True)]
    for k, block in enumerate(blocks):
        if not block.holds():
            raise Rejected(f"block {k} ({block.kind}): its bound is not proven in fractions")
        checks.append((f"block {k} ({block.kind})", "its bound holds in fractions"))
    if not Fraction(number(document["lipschitz_upper"])) >= prod(block.lip for block in blocks):
        raise Rejected("lipschitz_upper is below the product of all blocks")
    count = _prove_samples(document, arrays, blocks)
    return (*checks, ("samples", f"{count} proven certified in fractions"))


def _prove_samples(document: dict, arrays: dict, blocks: list[ExactBlock]) -> int:
    """The class has the largest logit in the whole ball: r²L̄_aj² < (m_aj − √2E)² for every other j."""
    samples, divisor = document["samples"], float(document["data"].get("divisor", 1))
    predicted, radii = (arrays[samples[name]] for name in ("predicted", "radius_lower"))
    certified, squares = np.flatnonzero(arrays[samples["status"]] == 0), None
    for i in certified.tolist():
        y, E = rational(arrays[samples["x"]][i] / divisor), Fraction(0)
        for k, block in enumerate(blocks):
            member = samples["z"].get(str(k))
            y, own = block.enclose(y, arrays[member][i] if member else None)
            E = block.lip * E + own
        squares = _squares(blocks, len(y)) if squares is None else squares
        margins = y[predicted[i]] - y - ROOT2 * E
        good = (margins > 0) & (Fraction(radii[i]) ** 2 * squares[predicted[i]] < margins**2)
        if not np.delete(good, predicted[i]).all():
            raise Rejected(f"sample {i}: radius_lower {radii[i]} is not proven in fractions")
    return len(certified)


def _squares(blocks: list[ExactBlock], classes: int) -> np.ndarray:
    """L̄_aj² for all pairs of classes."""
    *others, last = blocks
    before = prod((block.lip**2 for block in others), start=Fraction(1))
    squares = np.full((classes, classes), 2 * before * last.lip**2)
    if last.kind == "affine":
        W = last.own["W"]
        squares = np.minimum(squares, before * ((W[:, None] - W) ** 2).sum(axis=2))
    for a, j, lip, _ in last.pairs:
        squares[a, j] = squares[j, a] = min(squares[a, j], before * lip**2)
    return squares
