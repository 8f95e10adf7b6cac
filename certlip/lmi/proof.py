"""What has been proven about a block: only `rules/` construct these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certlip.linalg.rigorous import LowerBound, UpperBound


@dataclass(frozen=True)
class BlockProof:
    """A proven Lipschitz bound of one block and the rule it follows from.

    `claimed` is the bound that was hoped for, a plain number; `slack` bounds the smallest eigenvalue
    of the proven matrix from below where there is one.
    """

    rule: str
    lip: UpperBound
    claimed: float
    seconds: float
    condition: str = ""
    method: str = ""
    slack: LowerBound | None = None


@dataclass(frozen=True)
class Pairs:
    """Bounds of differences of two logits: |Δ(y_a − y_j)| ≤ L_p‖Δu‖ for the input u of an equilibrium.

    For each p, (10) holds with the one row G_a − G_j (times the affine blocks behind) for G, with Λ =
    diag(lam[p]) and L = lip[p].

    Args:
        a, j: Classes, (P,), int64.
        lip: Proven upper bounds, (P,).
        lam: (P, n).
    """

    a: np.ndarray
    j: np.ndarray
    lip: np.ndarray
    lam: np.ndarray

    def __len__(self) -> int:
        return len(self.lip)

    def tobytes(self) -> bytes:
        """All numbers, as what a hash of a proof is made from."""
        return b"".join(array.tobytes() for array in (self.a, self.j, self.lip, self.lam))


@dataclass(frozen=True)
class ResidualProof(BlockProof):
    """D WᵀW D ⪯ (1 + δ)D (D K Kᵀ D with a kernel) where D > 0, so that L² = 1 + 4δ(1 + δ)."""

    delta: float = 0.0


@dataclass(frozen=True)
class EquilibriumProof(BlockProof):
    """(3) with Γ and margin μ, and (10) with Λ and L; `pairs`, if logits follow, with a Λ for each pair.

    `gam_root_G` bounds ‖GΓ^{−1/2}‖₂, the factor from the Γ norm of a state error to the output. Of a
    convolutional block Λ and Γ are per channel, and `gam_W` bounds ‖Γ^{1/2}WΓ^{−1/2}‖₂.
    """

    family: str = ""
    solver: str | None = None
    lam: np.ndarray | None = None
    gam: np.ndarray | None = None
    mu: LowerBound | None = None
    gam_root_G: UpperBound | None = None
    gam_W: UpperBound | None = None
    pairs: Pairs | None = None
