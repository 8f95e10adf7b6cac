"""The float32 evaluation of a network over a ball: its error, and the radius that is left.

For an input x′ of the ball ‖x′ − x‖ ≤ r, cast to float32, let x̂_k be the float32 numbers after block k
and x_k those of the real network at x′. Then ‖x̂_k − x_k‖ ≤ E_k with

    E_k = L_k E_{k−1} + local_k(N_k),   N_k = H_k + ∏_{i<k} L_i · r + E_{k−1},

H_k a bound of the norm of the true input of block k at x. The class stays a in float32 where
m̲_aj − L̄_aj·r − √2·E_K(r) > 0 for every j.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import Network
from certlip.certification.float32.arithmetic import ETA, U32, bounded, upward
from certlip.certification.float32.kinds import local_error, require_bounded
from certlip.certification.semantics import Steps
from certlip.errors import InconclusiveError, UnsupportedError
from certlip.linalg.rigorous.bounds import SQRT2
from certlip.linalg.rigorous.rounding import down, up
from certlip.lmi import NetworkProof

#: How much shorter than its guess a radius may be, in turn, until it is verified.
SHORTER = (1e-12, 1e-9, 1e-6, 1e-3, 1e-1, 0.5, 0.9)


class Deployed:
    """The float32 evaluation of one proven network, its equilibria by substitution or by `steps`.

    Raises:
        UnsupportedError: a block without an a-priori bound, with its number and the reason.
        InconclusiveError: stored numbers or norms that float32 cannot hold.
    """

    def __init__(self, network: Network, proof: NetworkProof, steps: Steps | None = None) -> None:
        require_bounded(network, steps)
        self.lip = [own.lip.value for own in proof.blocks]
        self.width = network.in_width
        self.local = []
        for k, (block, own) in enumerate(zip(network.blocks, proof.blocks, strict=True)):
            try:
                self.local.append(local_error(block, own, steps))
            except (InconclusiveError, UnsupportedError) as error:
                where = f"float32 semantics: block {k} ({block.kind})"
                raise type(error)(f"{where}: {error}") from None

    @np.errstate(over="ignore", invalid="ignore")
    def error(self, H: np.ndarray, r: np.ndarray) -> np.ndarray:
        """E_K(r) (batch,), for H (batch, blocks) the norms of the true inputs of the blocks at x."""
        N = upward(H[:, 0] + r)
        # an input that is no float32 number is rounded first
        E = bounded(N, upward(U32 * N + ETA * np.sqrt(self.width)))
        grown = 1.0
        for k, (lip, local) in enumerate(zip(self.lip, self.local, strict=True)):
            N = upward(H[:, k] + grown * r + E)
            E = upward(lip * E + local(N))
            grown = upward(lip * grown)
        return E

    def shortened(
        self, H: np.ndarray, margins: np.ndarray, bounds: np.ndarray, radius: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Margins (batch, classes) of the float32 logits at x, and radii (batch,) that hold for them too.

        Args:
            H: As in `error`.
            margins, bounds: m̲_aj and L̄_aj (batch, classes) of the class a; m̲_aa = ∞.
            radius: Of the real network, > 0 where there is one.
        """
        real = np.where((radius > 0.0) & np.isfinite(radius), radius, 0.0)
        at_x = self.error(H, np.zeros(len(H)))
        own = down(margins - up(SQRT2.value * at_x)[:, None])
        # E_K is affine in r, up to rounding: a guess that is verified
        slope = (self.error(H, real) - at_x) / np.maximum(real, 1e-300)
        guess = (own / (bounds + SQRT2.value * slope[:, None])).min(axis=1)
        guess = np.minimum(real, np.where(guess > 0.0, guess, 0.0))
        best = np.zeros(len(H))
        for share in SHORTER:
            r = guess * (1.0 - share)
            best = np.where((best == 0.0) & self._holds(H, margins, bounds, r), r, best)
        return own, best

    def _holds(
        self, H: np.ndarray, margins: np.ndarray, bounds: np.ndarray, r: np.ndarray
    ) -> np.ndarray:
        """m̲_aj − L̄_aj·r − √2·E_K(r) > 0 for every j, rounded down."""
        left = down(margins - up(bounds * r[:, None]))
        left = down(left - up(SQRT2.value * self.error(H, r))[:, None])
        return (left > 0.0).all(axis=1)
