"""The convolutional model of Revay, Wang & Manchester (2020), without the frame that never acts.

Entries psi (c, H + 2, W + 2), U (c, i, 3, 3), its bias (c), A, B (c, c, 3, 3), Wout (q, c·p), its bias (q);
g and h are not used. The state is an image with a frame of one pixel on which σ is 0, and in

    Wz = z − U_fU_fᵀ(z/Ψ)/(2γ) − Ψ(mz + AᵀAz − Bz + Bᵀz + PᵀWoutᵀWout Pz/(2γ)),   y = Wout Pz + Wout.bias

A and B wrap around the frame, U_f reads one ring more than the frame, P averages windows of 3 × 3 pixels.
The coordinates of the frame are always 0, so they are left out. A and B then see nothing but zeros outside,
and the input is zero beyond its image: a `PaddedEquilibrium` block, whose G = Wout P is rounded once.
"""

from __future__ import annotations

import math

from torch import Tensor

from certlip.blocks import PaddedEquilibrium, Sigma
from certlip.blocks.activations import ReLU
from certlip.errors import InputError
from certlip.interop.checkpoints_2020 import positive_exp

WINDOW = 3
SHAPES = {
    "psi": ("c", "H + 2", "W + 2"),
    "U.weight": ("c", "i", 3, 3),
    "U.bias": ("c",),
    "A.weight": ("c", "c", 3, 3),
    "B.weight": ("c", "c", 3, 3),
    "Wout.weight": ("q", "c·p"),
    "Wout.bias": ("q",),
    "g": (),
    "h": (),
}


def convolutional(tensors: list[Tensor], gam: float, m: float) -> PaddedEquilibrium:
    """The block on the H × W pixels inside the frame, of the tensors in the order of `SHAPES`.

    Raises:
        InputError: an image with nothing inside its frame, or windows that do not divide it.
    """
    log_psi, U, b_z, A, B, Wout, b_y, _, _ = tensors
    c, H, W = log_psi.shape
    if min(H, W) < 3 or H % WINDOW or W % WINDOW:
        raise InputError(f"psi has shape ({c}, {H}, {W}): expected sides that are multiples of 3")
    pooled = (c, H // WINDOW, W // WINDOW)
    if Wout.shape[1] != math.prod(pooled):
        raise InputError(
            f"Wout.weight has shape {tuple(Wout.shape)}: expected {math.prod(pooled)} columns"
        )
    psi = positive_exp(log_psi)
    # Wout P: every pixel of a window gets a ninth
    G = Wout.reshape(-1, *pooled).repeat_interleave(WINDOW, 2).repeat_interleave(WINDOW, 3)
    psi, G = (array[..., 1:-1, 1:-1] for array in (psi, G / WINDOW**2))
    sigma = Sigma.of(ReLU(), psi.numel())
    return PaddedEquilibrium(psi, U, A, B, G.flatten(1), b_z, b_y, m, gam, sigma)
