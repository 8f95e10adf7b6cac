"""One block in fractions: whether its bounds hold, and what it computes."""

from fractions import Fraction

import numpy as np

from certlip.checker.exact.rationals import Refused, is_semidefinite, rational, root_up
from certlip.checker.reading import number

_SLOPES = {"identity": 1, "relu": 0, "leaky_relu": 0}  # below 0, unless a parameter says it


class ExactBlock:
    """A block of matrices with a piecewise linear σ, and its proof."""

    def __init__(self, node: dict, proof: dict, arrays: dict[str, np.ndarray]):
        self.kind, self.proof, self.slopes = node["kind"], proof, []
        if self.kind not in ("normalize", "affine", "activation", "residual", "equilibrium"):
            raise Refused(f"a block of kind {self.kind!r}, expected one of matrices")
        for name, count, parameters in node["meta"].get("sigma", []):
            if name not in _SLOPES:
                raise Refused(f"{name} has no exact value, expected one of {', '.join(_SLOPES)}")
            self.slopes += [Fraction(next(iter(parameters.values()), _SLOPES[name]))] * count
        members = node["arrays"] | {k: v for k, v in proof.items() if k in ("lam", "gam")}
        self.own = {name: rational(arrays[member]) for name, member in members.items()}
        self.lip, pairs = Fraction(number(proof["lipschitz_upper"])), proof.get("pairs", {})
        columns = [arrays[pairs[name]] for name in ("a", "j", "lipschitz_upper", "lam") if pairs]
        self.pairs = [
            (a, j, Fraction(L), rational(lam)) for a, j, L, lam in zip(*columns, strict=True)
        ]

    def holds(self) -> bool:
        """Whether the rule of the contract proves the bounds."""
        own, square = self.own, self.lip**2
        if self.kind == "normalize":
            return all(s > 0 and s * self.lip >= 1 for s in own["std"])
        if self.kind == "activation":
            return self.lip >= 1
        if self.kind == "affine":
            W = own["W"] if len(own["W"]) < len(own["W"].T) else own["W"].T
            return is_semidefinite(square * np.eye(len(W), dtype=int) - W @ W.T)
        if self.kind == "residual":
            delta, D = Fraction(number(self.proof["delta"])), own["D"]
            acts = np.array(D > 0, dtype=bool)
            priced = min(D) >= 0 and square >= 1 + 4 * delta * (1 + delta)
            W = own["W"][:, acts]
            return priced and is_semidefinite(np.diag((1 + delta) / D[acts]) - W.T @ W)
        gam, G, mu = own["gam"], own["G"], Fraction(number(self.proof["mu_lower"]))
        S = 2 * (1 - mu) * np.diag(gam) - gam[:, None] * own["W"] - (gam[:, None] * own["W"]).T
        well_posed = min(*gam, mu) > 0 and is_semidefinite(S)
        rows = [(G[[a]] - G[[j]], lam, L) for a, j, L, lam in self.pairs if a != j]
        bounded = all(self._condition_10(*row) for row in [(G, own["lam"], self.lip), *rows])
        return well_posed and bounded and len(rows) == len(self.pairs)

    def _condition_10(self, G: np.ndarray, lam: np.ndarray, lip: Fraction) -> bool:
        """2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L ⪰ 0 with Λ ≻ 0, L > 0."""
        if not min(*lam, lip) > 0:
            return False
        H, lam_U = lam[:, None] * self.own["W"], lam[:, None] * self.own["U"]
        return is_semidefinite(2 * np.diag(lam) - H - H.T - (G.T @ G + lam_U @ lam_U.T) / lip)

    def enclose(self, x: np.ndarray, guess: np.ndarray | None) -> tuple[np.ndarray, Fraction]:
        """The output, and a bound of its error: 0 but where a state is not rational."""
        own = self.own
        if self.kind == "normalize":
            return (x - own["mean"]) / own["std"], Fraction(0)
        if self.kind == "affine":
            return own["W"] @ x + own["b"], Fraction(0)
        if self.kind == "activation":
            return self._sigma(x), Fraction(0)
        if self.kind == "residual":
            s = self._sigma(own["W"].T @ x + own["b"])
            return x - 2 * own["W"] @ (own["D"] * s), Fraction(0)
        return self._equilibrium(own["U"] @ x + own["b_z"], np.asarray(guess, dtype=float))

    def _sigma(self, v: np.ndarray) -> np.ndarray:
        return np.where(v >= 0, v, self.slopes * v)

    def _equilibrium(self, c: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, Fraction]:
        """‖G(ẑ − z*)‖ ≤ ‖Ge‖ + ‖GΓ^(−½)‖_F ‖We‖_Γ/μ for the residual e of any ẑ.

        The guess is brought nearer by Newton's method in doubles first: any ẑ will do.
        """
        W, G, gam = (self.own[name] for name in ("W", "G", "gam"))
        A, b, slopes = (np.array(v, dtype=float) for v in (W, c, self.slopes))
        for _ in range(5):
            v = A @ guess + b
            slope = np.where(v >= 0.0, 1.0, slopes)
            guess -= np.linalg.solve(np.eye(len(A)) - slope[:, None] * A, guess - slope * v)
        z = rational(guess)
        e = z - self._sigma(W @ z + c)
        far = (gam * (W @ e) ** 2).sum() * (G**2 / gam).sum()
        near, mu = ((G @ e) ** 2).sum(), Fraction(number(self.proof["mu_lower"]))
        return G @ z + self.own["b_y"], root_up(near) + root_up(far) / mu
