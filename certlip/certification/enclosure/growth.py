"""How far an output can be off whose state solves its equilibrium up to We.

z̃ = ẑ − e solves z̃ = σ(Wz̃ + We + Ux + b_z). Two bounds of ‖G(z̃ − z*)‖ by a multiple of ‖We‖_Γ:

- (3) gives ‖z̃ − z*‖_Γ ≤ ‖We‖_Γ/μ: the factor ‖GΓ^{−1/2}‖/μ.
- If U has full row rank, z̃ is the equilibrium of the input x + U⁺We exactly, and the block is
  L-Lipschitz: ‖G(z̃ − z*)‖ ≤ L‖U⁺We‖. Since U⁺Γ^{−1/2} = (Γ^{1/2}U)⁺, the factor is L/σ_min(Γ^{1/2}U).

The second does not depend on states that G does not see, however weakly they contract.
"""

from __future__ import annotations

import math

import numpy as np

from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U, up
from certlip.linalg.rigorous.smallest import smallest_singular_value
from certlip.lmi import EquilibriumProof
from certlip.lmi.slack import SLACK


def growth(input_map: np.ndarray, proof: EquilibriumProof) -> float:
    """The smaller of the two factors, for U (n, p) and a proof that carries Γ, μ and ‖GΓ^{−1/2}‖."""
    if proof.gam is None or proof.mu is None or proof.gam_root_G is None:
        raise ValueError("the proof of an equilibrium block carries Γ, μ and ‖GΓ^{−1/2}‖")
    by_margin = math.inf
    if proof.mu.value > 0.0:
        by_margin = float(up(proof.gam_root_G.value / proof.mu.value))
    root = np.sqrt(proof.gam)
    weights = Ball(root, up(U * root) + TINY)
    least = smallest_singular_value(weights[:, None] * input_map, slack=SLACK)
    if least.value == 0.0:
        return by_margin
    return min(by_margin, float(up(proof.lip.value / least.value)))
