"""The blocks of a network: how they are stored, and the proofs of their Lipschitz bounds."""

import json
from fractions import Fraction

import numpy as np

from certlip.checker import psd
from certlip.checker.functions import move, read_sigma
from certlip.checker.linear import Linear, together
from certlip.checker.reading import CertificateError, Rejected, field, number, only, take
from certlip.checker.rounding import ONE, UNIT, over

# Arrays with a letter per axis (d: channels of the input, k or n: of σ, q: of the output, t: taps);
# the fields of `meta`; rule and fields of the proof.
_LMI = "condition lam gam mu_lower"
_KINDS = {
    "normalize": ("mean:d std:d", "", "diagonal"),
    "affine": ("W:qd b:q", "", "spectral"),
    "convolution": ("K:qdtt b:q", "height width padding", "convolution"),
    "activation": ("", "sigma", "slope"),
    "residual": ("W:dk D:k b:k", "sigma", "residual delta"),
    "conv-residual": ("K:kdtt D:k b:k", "sigma height width padding", "conv-residual delta"),
    "equilibrium": ("U:nd W:nn G:qn b_z:n b_y:q", "sigma", f"equilibrium {_LMI}"),
    "conv-equilibrium": (
        *("U:ndtt W:nntt G:qntt b_z:n b_y:q", "sigma height width", f"conv-equilibrium {_LMI}"),
    ),
    "pooling": ("", "channels height width window", "pooling"),
    "window": ("", "channels height width top left rows columns row_step column_step", "window"),
    "resize": ("", "d q", "resize"),
    "group-sort": ("", "d group stride", "sort"),
}


class Block:
    """One block, as stored and as used: maps, and vectors with an entry per pixel.

    `prove` sets `lip`, and what errors on the way are multiplied by: δ of a residual block; Γ, μ,
    slope ≥ ‖GΓ^(−½)‖₂ and on images omega ≥ ‖Γ^½WΓ^(−½)‖₂ of an equilibrium; also the bounds
    (a, j, L) of differences of two outputs.
    """

    delta, slope, omega, gam, mu, pairs = 0.0, 0.0, 0.0, ONE, 1.0, ()

    def __init__(self, node: dict, arrays: dict[str, np.ndarray], width: int):
        """Read one block whose input has `width` coordinates."""
        self.kind, self.meta = only(node, "kind", "arrays", "meta")["kind"], node["meta"]
        letters, keys, self.rule = (column.split() for column in _KINDS[self.kind])
        axes = dict(part.split(":") for part in letters)
        names, self.arrays, self.maps, self.vectors = only(node["arrays"], *axes), {}, {}, {}
        for key in set(only(self.meta, *keys)) - {"sigma", "padding"}:
            if field(self.meta, key, int) < 1 and key not in ("top", "left"):
                raise CertificateError(f"{key!r} is {self.meta[key]}, expected a positive number")
        if not axes and keys != ["sigma"]:
            self.sigma, self.out = [], move(self.kind, self.meta, np.zeros((1, width)))[0].size
            return
        sides, sizes = (self.meta.get("height", 1), self.meta.get("width", 1)), {}
        circular = {"circular": True, "zero": False}[self.meta.get("padding", "circular")]
        sizes["d"], rest = divmod(width, sides[0] * sides[1])
        if rest:
            raise CertificateError(f"{width} inputs, expected whole images of {sides} pixels")
        for name, own in axes.items():
            A = self.arrays[name] = take(arrays, names[name], "<f8", tuple(map(sizes.get, own)))
            sizes |= {axis: n for axis, n in zip(own, A.shape, strict=True) if axis != "t"}
            if A.ndim == 1:
                self.vectors[name] = np.repeat(A, sides[0] * sides[1])
                continue
            A = A.T if self.kind == "residual" else A
            K = Linear(A if A.ndim == 4 else A[..., None, None], sides, circular)
            self.maps["K" if self.kind in ("affine", "residual") else name] = K
        self.out = sides[0] * sides[1] * sizes.get("q", sizes["d"])
        states = sides[0] * sides[1] * sizes.get("k", sizes.get("n", sizes["d"]))
        self.sigma = read_sigma(self.meta["sigma"], states) if "sigma" in keys else []

    def hashed(self) -> bytes:
        """What the contract's hash of a model takes of this block: kind, meta, shapes and weights."""
        head = {"kind": self.kind, "meta": self.meta}
        head["shapes"] = {name: list(array.shape) for name, array in self.arrays.items()}
        line = json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        return b"".join([line, *(self.arrays[name].tobytes() for name in sorted(self.arrays))])

    def prove(self, proof: dict, arrays: dict[str, np.ndarray], last: bool = False) -> None:
        """Prove the block's `lipschitz_upper` by its rule, the table in docs/certificate.md."""
        pairs = ["pairs"] * (last and self.kind == "equilibrium" and "pairs" in proof)
        if [proof.get("rule"), proof.get("condition", "10")] != [self.rule[0], "10"]:
            raise Rejected(f"proof {proof!r:.200}, expected rule {self.rule[0]} and condition '10'")
        only(proof, "rule", "lipschitz_upper", *self.rule[1:], *pairs)
        self.lip = number(proof, "lipschitz_upper")
        if "condition" in proof:
            holds = self._prove_equilibrium(proof, arrays)
        elif "delta" in proof:
            # With s = Δσ and v = KΔx, slopes in [0, 1] give sᵀDs ≤ vᵀDs, so that
            # ‖Δy‖² ≤ ‖Δx‖² − 4sᵀDs + 4sᵀDKKᵀDs ≤ ‖Δx‖² + 4δ sᵀDs and sᵀDs ≤ vᵀDv ≤ (1 + δ)‖Δx‖².
            self.delta, D = number(proof, "delta"), self.arrays["D"]
            price = 1 + 4 * Fraction(self.delta) * (1 + Fraction(self.delta))
            stacks = (K for (K,) in together(self.maps["K"]))
            holds = (D >= 0.0).all() and Fraction(self.lip) ** 2 >= price
            holds = holds and all(psd.condition_residual(K, D, self.delta) for K in stacks)
        elif self.maps:
            holds = all(A.norm_at_most(self.lip) for (A,) in together(self.maps["K"]))
        elif self.kind == "normalize":
            holds = Fraction(self.lip) * Fraction(float(self.arrays["std"].min())) >= 1
        else:  # slopes in [0, 1]; numbers that are moved, sorted, or summed k² at a time over k
            holds = self.lip >= 1.0
        if not holds:
            raise Rejected(f"lipschitz_upper {self.lip!r} not proven, expected by {self.rule[0]}")

    def _prove_equilibrium(self, proof: dict, arrays: dict[str, np.ndarray]) -> bool:
        """(3) with μ > 0 gives a unique z and an error bound, then (10) the Lipschitz bound L."""
        n, self.mu = len(self.arrays["b_z"]), number(proof, "mu_lower")
        lam, self.gam = (take(arrays, proof[name], "<f8", (n,)) for name in ("lam", "gam"))
        _require_moderate(lam, self.gam, [self.lip, self.mu])
        root, holds = np.sqrt(self.gam), True
        for W, U, G in together(*(self.maps[name] for name in "WUG")):
            if not psd.condition_3(W, self.gam, self.mu):
                raise Rejected(f"condition (3) not proven, expected it with mu_lower {self.mu!r}")
            UU = U.gram()
            holds = holds and psd.condition_10(W, UU, G.T.gram(), lam, self.lip)
            self.slope = max(self.slope, G.scaled(right=1.0 / root).norm_upper())
            if self.kind != "equilibrium":
                self.omega = max(self.omega, W.scaled(root, 1.0 / root).norm_upper())
            elif "pairs" in proof:
                self._prove_pairs(W, UU, proof["pairs"], arrays)
        return holds

    def _prove_pairs(self, W: psd.Ball, UU: psd.Ball, node: dict, arrays: dict) -> None:
        """(10) with the one row G_a − G_j in place of G, for every pair: |Δ(y_a − y_j)| ≤ L‖Δx‖."""
        only(node, "a", "j", "lipschitz_upper", "lam")
        G, lam = self.arrays["G"], take(arrays, node["lam"], "<f8", (None, W.S.shape[-1]))
        a, j = (take(arrays, node[name], "<i8", (len(lam),)) for name in "aj")
        lips = take(arrays, node["lipschitz_upper"], "<f8", (len(lam),))
        _require_moderate(lam.ravel(), lips)
        self.pairs = tuple(zip(a.tolist(), j.tolist(), lips.tolist(), strict=True))
        for (p, q, lip), own in zip(self.pairs, lam, strict=True):
            if p == q or not 0 <= min(p, q) <= max(p, q) < len(G):
                raise Rejected(f"pair {p}, {q}, expected two different outputs of {len(G)}")
            row = (G[p] - G[q]).reshape(1, -1, 1)
            GG = psd.Ball(row, over(UNIT * np.abs(row), 1)).gram()
            if not psd.condition_10(W, UU, GG, own, lip):
                raise Rejected(f"pair {p}, {q}: {lip!r} not proven, expected it by condition (10)")


def _require_moderate(*numbers) -> None:
    """Positive, and so far from overflow and underflow that products of a few are too."""
    if not all(2.0**-100 <= x <= 2.0**100 for x in np.concatenate(numbers)):
        raise Rejected("lam, gam, mu_lower or L out of range, expected them in 2^-100 ... 2^100")
