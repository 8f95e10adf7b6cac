"""The blocks of a network: how they are stored, and the proofs of their Lipschitz bounds."""

import json
from fractions import Fraction

import numpy as np

from certlip.checker import rigorous
from certlip.checker.functions import move, read_sigma
from certlip.checker.linear import Linear
from certlip.checker.reading import CertificateError, Rejected, number, only, take
from certlip.checker.rigorous import ONE, UNIT, Ball, over

# Arrays with a letter per axis (d: channels of the input, k or n: of σ, q: of the output, t: taps),
# the fields of `meta`, and the rule of the proof where it has another name.
_KINDS = {
    "normalize": ("mean:d std:d", "", "diagonal"),
    "affine": ("W:qd b:q", "", "spectral"),
    "convolution": ("K:qdtt b:q", "height width padding"),
    "activation": ("", "sigma", "slope"),
    "residual": ("W:dk D:k b:k", "sigma"),
    "conv-residual": ("K:kdtt D:k b:k", "sigma height width padding"),
    "equilibrium": ("U:nd W:nn G:qn b_z:n b_y:q", "sigma"),
    "conv-equilibrium": ("U:ndtt W:nntt G:qntt b_z:n b_y:q", "sigma height width"),
    "pooling": ("", "channels height width window"),
    "window": ("", "channels height width top left rows columns row_step column_step"),
    "resize": ("", "d q"),
    "group-sort": ("", "d group stride", "sort"),
}
_LMI = ("condition", "lam", "gam", "mu_lower")  # what the proof of an equilibrium also has


class Block:
    """One block, as stored and as used: maps, and vectors with an entry per pixel.

    `prove` sets `lip`, and what multiplies errors: δ of a residual block; Γ, slope ≥ ‖GΓ^(−½)‖₂,
    omega ≥ ‖Γ^½WΓ^(−½)‖₂ and reach of an equilibrium; also bounds (a, j, L) of two outputs.
    """

    delta, slope, omega, reach, gam, mu, pairs = 0.0, 0.0, 0.0, 0.0, ONE, 1.0, ()

    def __init__(self, node: dict, arrays: dict[str, np.ndarray], width: int):
        """Read one block whose input has `width` coordinates."""
        self.kind, self.meta = only(node, "kind", "arrays", "meta")["kind"], node["meta"]
        letters, keys, *rule = (column.split() for column in _KINDS[self.kind])
        (self.rule,) = (*rule, [self.kind])[0]
        axes = dict(part.split(":") for part in letters)
        names, self.arrays, self.maps, self.vectors = only(node["arrays"], *axes), {}, {}, {}
        for key in set(only(self.meta, *keys)) - {"sigma", "padding"}:
            low = -(2**53) if key in ("top", "left") else 1
            if type(self.meta[key]) is not int or self.meta[key] < low:
                raise CertificateError(f"{key!r} is {self.meta[key]!r:.60}, expected a number > 0")
        if not axes and keys != ["sigma"]:
            self.sigma, self.out = [], move(self.kind, self.meta, np.zeros((1, width)))[0].size
            return
        sides = (self.meta.get("height", 1), self.meta.get("width", 1))
        circular = {"circular": True, "zero": False}[self.meta.get("padding", "circular")]
        pixels, sizes = sides[0] * sides[1], {"d": Fraction(width, sides[0] * sides[1])}
        for name, own in axes.items():
            A = self.arrays[name] = take(arrays, names[name], "<f8", tuple(map(sizes.get, own)))
            sizes |= {axis: n for axis, n in zip(own, A.shape, strict=True) if axis != "t"}
            if A.ndim == 1:
                self.vectors[name] = np.repeat(A, pixels)
            else:
                K = Linear(A.T if self.kind == "residual" else A, sides, circular)
                self.maps["K" if self.kind in ("affine", "residual") else name] = K
        self.out = int(pixels * sizes.get("q", sizes["d"]))
        states = pixels * sizes.get("k", sizes.get("n", sizes["d"]))
        self.sigma = read_sigma(self.meta["sigma"], states) if "sigma" in keys else []

    def hashed(self) -> bytes:
        """What the contract's hash of a model takes of this block: kind, meta, shapes and weights."""
        head = {"kind": self.kind, "meta": self.meta}
        head["shapes"] = {name: list(array.shape) for name, array in self.arrays.items()}
        line = json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        return b"".join([line, *(self.arrays[name].tobytes() for name in sorted(self.arrays))])

    def prove(self, proof: dict, arrays: dict[str, np.ndarray]) -> None:
        """Prove the block's `lipschitz_upper` by its rule, the table in docs/certificate.md."""
        if [proof.get("rule"), proof.get("condition", "10")] != [self.rule, "10"]:
            raise Rejected(f"proof {proof!r:.200}, expected rule {self.rule} and condition '10'")
        more = ["delta"] * ("D" in self.arrays) + [*_LMI] * ("U" in self.arrays)
        more += ["pairs"] * (self.kind == "equilibrium" and "pairs" in proof)
        self.lip = number(only(proof, "rule", "lipschitz_upper", *more)["lipschitz_upper"])
        if "lam" in proof:
            holds = self._prove_equilibrium(proof, arrays)
        elif "delta" in proof:
            # With s = Δσ and v = KΔx, slopes in [0, 1] give sᵀDs ≤ vᵀDs, so that
            # ‖Δy‖² ≤ ‖Δx‖² − 4sᵀDs + 4sᵀDKKᵀDs ≤ ‖Δx‖² + 4δ sᵀDs and sᵀDs ≤ vᵀDv ≤ (1 + δ)‖Δx‖².
            self.delta, D = number(proof["delta"]), self.arrays["D"]
            price = 1 + 4 * Fraction(self.delta) * (1 + Fraction(self.delta))
            each = (rigorous.condition_residual(K, D, self.delta) for K in self.maps["K"].spectra())
            holds = (D >= 0.0).all() and Fraction(self.lip) ** 2 >= price and all(each)
        elif self.maps:
            holds = all(A.norm_at_most(self.lip) for A in self.maps["K"].spectra())
        elif self.kind == "normalize":
            holds = Fraction(self.lip) * Fraction(float(self.arrays["std"].min())) >= 1
        else:  # slopes in [0, 1]; numbers that are moved, sorted, or summed k² at a time over k
            holds = self.lip >= 1.0
        if not holds:
            raise Rejected(f"lipschitz_upper {self.lip!r} not proven, expected by {self.rule}")

    def _prove_equilibrium(self, proof: dict, arrays: dict[str, np.ndarray]) -> bool:
        """(3) with μ > 0 gives a unique z and an error bound, then (10) the Lipschitz bound L.

        With the one row G_a − G_j in place of G it gives |Δ(y_a − y_j)| ≤ L‖Δx‖ for a pair.
        """
        n, G, self.mu = len(self.arrays["b_z"]), self.arrays["G"], number(proof["mu_lower"])
        lam, self.gam = (take(arrays, proof[name], "<f8", (n,)) for name in ("lam", "gam"))
        root, holds, least, lams = np.sqrt(self.gam), True, np.inf, np.zeros((0, n))
        if "pairs" in proof:
            node = only(proof["pairs"], "a", "j", "lipschitz_upper", "lam")
            lams = take(arrays, node["lam"], "<f8", (None, n))
            a, j = (take(arrays, node[name], "<i8", (len(lams),)).tolist() for name in "aj")
            lips = take(arrays, node["lipschitz_upper"], "<f8", (len(lams),)).tolist()
            self.pairs = tuple(zip(a, j, lips, strict=True))
        for W, U, G_f in zip(*(self.maps[name].spectra() for name in "WUG"), strict=True):
            if not rigorous.condition_3(W, self.gam, self.mu):
                raise Rejected(f"condition (3) not proven, expected it with mu_lower {self.mu!r}")
            UU = U.gram()
            holds = holds and rigorous.condition_10(W, UU, G_f.T.gram(), lam, self.lip)
            self.slope = max(self.slope, G_f.scaled(right=1.0 / root).norm_upper())
            self.omega = max(self.omega, W.scaled(root, 1.0 / root).norm_upper())
            least = min(least, U.scaled(root).least())
            for (p, q, lip), own in zip(self.pairs, lams, strict=True):
                row = (G[p] - G[q]).reshape(1, -1, 1)
                GG = Ball(row, over(UNIT * np.abs(row), 1)).gram()
                if min(p, q) < 0 or not rigorous.condition_10(W, UU, GG, own, lip):
                    raise Rejected(f"pair {p}, {q}: {lip!r} not proven, expected by (10)")
        self.reach = over(min(self.slope / self.mu, self.lip / least if least else np.inf), 1)
        return holds
