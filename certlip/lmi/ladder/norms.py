"""The lowest rung: spectral norms alone, as one would multiply them by hand."""

from __future__ import annotations

import time

import numpy as np

from certlip.blocks import (
    Block,
    ConvEquilibrium,
    ConvResidual,
    Equilibrium,
    Network,
    PaddedEquilibrium,
    Residual,
)
from certlip.errors import CertlipError, InconclusiveError
from certlip.linalg.rigorous import UpperBound, spectral_norm
from certlip.linalg.rigorous.frequencies import covering
from certlip.linalg.rigorous.rounding import down, up
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.inequality import monotonicity
from certlip.lmi.ladder.base import Best, Budget, Rung, Stretch
from certlip.lmi.rules import apply_rule
from certlip.lmi.search import Search


class Norms(Rung):
    """‖A‖ of a linear block, 1 + 2‖W‖² max D of a residual one, ‖GΓ^{−½}‖‖Γ^½U‖/μ of an equilibrium
    with (3)."""

    name = "norms"

    def climb(self, network: Network, best: Best, budget: Budget) -> list[Stretch]:
        found = []
        for k, block in enumerate(network.blocks):
            budget.say(f"norms of block {k}")
            start = time.perf_counter()
            try:
                lip, reason = self._bound(k, block, best), ""
            except (CertlipError, ValueError) as error:
                lip, reason = None, str(error)
            seconds = time.perf_counter() - start
            found.append(Stretch(k, k + 1, lip, seconds, self.name, reason))
        return found

    def _bound(self, k: int, block: Block, best: Best) -> UpperBound:
        if isinstance(block, Equilibrium | ConvEquilibrium):
            conditions = Everywhere(block)
            gam, source = Search().monotone(block)
            mu = monotonicity(conditions, gam, source)
            best.well_posed.add(k)
            through = conditions.output_norm(gam) * conditions.input_norm(gam)
            return through * UpperBound(float(up(1.0 / mu.value)))
        if isinstance(block, PaddedEquilibrium):
            return _padded(block)
        if isinstance(block, Residual):
            return _residual(spectral_norm(block.W.numpy()), block)
        if isinstance(block, ConvResidual):
            K = covering(block.K.numpy(), block.height, block.width, block.padding)
            return _residual(K.norm(), block)
        return apply_rule(block).lip


def _residual(norm: UpperBound, block: Residual | ConvResidual) -> UpperBound:
    """1 + 2‖W‖² max D."""
    size = norm * norm * UpperBound(2.0 * float(block.D.max()))
    return UpperBound(float(up(1.0 + size.value)))


def _padded(block: PaddedEquilibrium) -> UpperBound:
    """The same with Γ = Ψ⁻¹ and μ = m min Ψ: ‖GΨ^½‖‖Ψ^{−½}U‖/μ ≤ ‖G‖‖U‖√(max Ψ/min Ψ)/(m min Ψ)."""
    low, high = float(block.psi.min()), float(block.psi.max())
    spread = UpperBound(float(up(np.sqrt(up(high / low)))))
    mu = float(down(block.m * low))
    if not mu > 0.0:
        raise InconclusiveError(f"m min Ψ = {block.m!r}·{low!r} underflows")
    U = covering(block.U.numpy(), block.height, block.width, "zero").norm()
    return spectral_norm(block.G.numpy()) * U * spread * UpperBound(float(up(1.0 / mu)))
