"""An equilibrium block of matrices, or of kernels on a torus."""

from __future__ import annotations

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.conv_equilibrium import ConvEquilibrium
from certlip.blocks.equilibrium import Equilibrium, Origin
from certlip.linalg.torus import Torus


def equilibrium_block(
    W: Tensor,
    U: Tensor,
    G: Tensor,
    b_z: Tensor,
    b_y: Tensor,
    sigma: Sigma,
    *,
    torus: Torus | None,
    origin: Origin | None = None,
) -> Equilibrium | ConvEquilibrium:
    """`ConvEquilibrium` on the torus, `Equilibrium` without one.

    Raises:
        InputError: as their constructors say.
    """
    if torus is None:
        return Equilibrium(W, U, G, b_z, b_y, sigma, origin)
    return ConvEquilibrium(W, U, G, b_z, b_y, sigma, torus.height, torus.width, origin)
