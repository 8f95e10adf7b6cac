"""The dual of a chain in vectors, raised round by round, and the multipliers that belong to it.

Z = VVᵀ with a row v_i ∈ ℝʳ for every state (Burer & Monteiro, Math. Program. 95, 2003) is dual feasible,
diag(A_{k−1}Z_{k−1,k}) ≥ diag(Z_kk), exactly if with h = A_{k−1}V_{k−1}

    v_i = ½(h_i + |h_i|u_i),   |u_i| ≤ 1,

so any V_0 and u give a lower bound ρ ≥ ‖A_KV_K‖²/‖V_0‖². Let f_k(V_k) be the largest ‖A_KV_K‖ over the u
of the layers after k: convex, positively homogeneous. A linear minorant ⟨q, ·⟩ of f_k gives one of
f_{k−1}: the tangent, at the h at hand, of

    max over u of ⟨q, ½(h + |h|u)⟩ = ½Σ(⟨q_i, h_i⟩ + |q_i||h_i|),   attained by u_i = q_i/|q_i|,

which is convex in h, pulled back: A_{k−1}ᵀ½(q_i + |q_i|h_i/|h_i|). A round goes forwards, then backwards
like this; the next one starts from V_0 = q and has these u. No layer is then worth less than its
minorant, so no round lowers the bound: power iteration for a convex function (Journée, Nesterov,
Richtárik & Sepulchre, JMLR 11, 2010).

f_k(VQ) = f_k(V) for orthogonal Q, so ⟨qQ, ·⟩ is a minorant as well; the best for what arrives is the
polar factor of qᵀh. When a layer turns, all behind it turn along. Left to themselves, twists spread from
layer to layer like heat, and the number of rounds grows with depth. Momentum is Nesterov's, restarted
where it leads back (O'Donoghue & Candès, Found. Comput. Math. 15, 2015).

Where nothing moves any more, q_i = λ_i|h_i|u_i is SV = 0 for λ_i = |q_i|/|h_i|: optimal multipliers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from certlip.lmi.chain.scaled import ScaledChain

#: r. Optimal Z of networks of up to 6,400 states had ranks from 1 to 25.
RANK = 32
#: λ_i is at least this share of the largest of its layer: what nothing depends on has none.
LEAST = 1e-9


class Ascent:
    """A dual feasible Z that gets better from `round` to `round`."""

    def __init__(self, chain: ScaledChain, rank: int = RANK) -> None:
        rng = torch.Generator().manual_seed(0)

        def rows(number: int) -> Tensor:
            return normalize(torch.randn(number, rank, generator=rng, dtype=torch.float64)).to(A[0])

        self.A = A = chain.A
        self.first = rows(A[0].shape[1])
        self.u = [rows(width) for width in chain.widths]
        self.start, self.ahead = self.first, list(self.u)  # the same with momentum
        self.sizes = [torch.ones_like(u[:, :1]) for u in self.u]  # |q_i|, up to a factor per layer
        self.lam: list[Tensor] = []
        self.lower = 0.0
        self.value = -math.inf  # log ρ of the last round
        self.since = 0  # rounds since a restart

    def round(self) -> None:
        """A dual bound and, backwards, its multipliers."""
        hs, V, logs = self._forwards()
        output = self.A[-1] @ V
        value = 2.0 * float(logs[-1] + output.norm().log())
        self.lower = max(self.lower, math.exp(value))
        self.value = value
        used = self.ahead
        first, u = self._backwards(output, hs, logs)
        back = sum(
            ((before - new) * (new - old)).sum()
            for before, new, old in zip(used, u, self.u, strict=True)
        )
        self.since = 1 if float(back) > 0.0 else self.since + 1
        onward = (self.since - 1.0) / (self.since + 2.0)
        self.start = first + onward * (first - self.first)
        self.ahead = [
            normalize(new + onward * (new - old)) for new, old in zip(u, self.u, strict=True)
        ]
        self.first, self.u = first, u

    def _forwards(self) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        """h per layer and V_K, and the logarithms of what they were divided by so far."""
        V = self.start / self.start.norm()
        log = V.new_zeros(())
        hs, logs = [], []
        for k, A in enumerate(self.A[:-1]):
            h, log = _unit(A @ V, log)
            left, _, right = torch.linalg.svd((self.sizes[k] * self.ahead[k]).mT @ h)
            turn = left @ right
            self.ahead[k], self.u[k] = self.ahead[k] @ turn, self.u[k] @ turn
            V = 0.5 * (h + _lengths(h) * self.ahead[k])
            hs.append(h)
            logs.append(log)
        return hs, V, logs

    def _backwards(
        self, output: Tensor, hs: list[Tensor], logs: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The best V_0 and u for the minorants at hs; `sizes` and `lam` are set."""
        q, log, K = self.A[-1].mT @ output, logs[-1], len(hs)
        u, self.lam = [output] * K, [output] * K
        for k in reversed(range(K)):
            q, log = _unit(q, log)
            size, length = _lengths(q), _lengths(hs[k])
            self.sizes[k] = size
            lam = (size / length)[:, 0] * (log - logs[k]).exp()
            self.lam[k] = torch.maximum(lam, LEAST * lam.max())
            u[k] = q / size
            q = self.A[k].mT @ (0.5 * (q + size * hs[k] / length))
        return q / q.norm(), u


def _lengths(rows: Tensor) -> Tensor:
    return rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)


def _unit(V: Tensor, log: Tensor) -> tuple[Tensor, Tensor]:
    """V/‖V‖, and log + log ‖V‖."""
    size = V.norm().clamp_min(torch.finfo(V.dtype).tiny)
    return V / size, log + size.log()
