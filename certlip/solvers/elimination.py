"""Linear units leave the iteration: their equations are solved once, exactly.

Where σ is the identity, z_l = W_ll z_l + W_lr z_r + c_l holds at every equilibrium. With R = (I − W_ll)⁻¹

    z_l = R W_lr z_r + R c_l,   z_r = σ(S z_r + c_r + W_rl R c_l),   S = W_rr + W_rl R W_lr,

for matrices and for the blocks of all frequencies alike. (3) for W makes I − W_ll regular: it holds for
every principal part.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.solve import solve

LARGEST = 1e3  # of R: beyond it the elimination would lose too many digits


class Elimination(NamedTuple):
    """Which units are linear and which are left, (·,) integers, and the blocks (F, ·, ·) above."""

    linear: Tensor
    rest: Tensor
    R: Tensor
    R_lr: Tensor  # R W_lr
    rl_R: Tensor  # W_rl R
    S: Tensor


def elimination_of(A: Tensor, sigma: Sigma) -> Elimination | None:
    """For the blocks A (F, units, units) of W and σ per unit; None where nothing can be eliminated."""
    identity = [kind.name == "identity" for kind, count in sigma.segments for _ in range(count)]
    mask = torch.tensor(identity, device=A.device)
    linear, rest = mask.nonzero()[:, 0], (~mask).nonzero()[:, 0]
    if not len(linear) or not len(rest):
        return None
    A_l, A_r = A[:, linear], A[:, rest]
    eye = torch.eye(len(linear), dtype=A.dtype, device=A.device)
    try:
        R = solve(eye - A_l[:, :, linear], eye.expand(len(A), -1, -1))
    except RuntimeError:  # I − W_ll is singular
        return None
    if not bool((R.abs() <= LARGEST).all()):
        return None
    rl_R = A_r[:, :, linear] @ R
    S = A_r[:, :, rest] + rl_R @ A_l[:, :, rest]
    return Elimination(linear, rest, R, R @ A_l[:, :, rest], rl_R, S)
