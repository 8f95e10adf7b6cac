"""z = σ(Wz + c) on boxes of c: the adjoint equilibrium as a guess, then a verified inclusion.

F([z]) ⊆ [z] for F(z) = σ(Wz + c) puts an equilibrium into [z], for every c of its box (Brouwer). With v > 0
and |W|v ≤ θv, θ < 1, slopes of σ in [0, 1] make F a contraction in max_i |u_i|/v_i, so that it is the only
one. Inflated by τv the box grows by τv, its image by τθv at most: what a guess falls short by, and what
rounding adds, is covered for τ large enough. Any guess will do, and so will any v that passes.

Where σ is a projection, z = σ(Wz + c) is z_i = σ(z_i + α_i((Wz + c)_i − z_i)) for every α_i > 0. With α_i =
1/(1 − W_ii) a negative W_ii, which pulls z_i back, no longer counts like one that pushes it: the spectral
radius of |W| and the boxes are smaller.
"""

from __future__ import annotations

import numpy as np
import torch

from certlip.blocks import ConvEquilibrium, Equilibrium, Sigma
from certlip.blocks.activations import Identity, ReLU
from certlip.certification.interval.activation import Activate
from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.base import Step
from certlip.certification.interval.box import between, ends, inside, nothing
from certlip.certification.interval.convolution import kernel
from certlip.certification.interval.perron import Perron
from certlip.errors import InconclusiveError, UnsupportedError
from certlip.linalg.operators import Dense, Operator, convolution
from certlip.linalg.operators.paired import Paired
from certlip.linalg.rigorous.ball import Ball, diagonal, magnitude
from certlip.linalg.rigorous.rounding import sum_up
from certlip.solvers import PeacemanRachford

#: How often a box is inflated further, and by how much.
TRIES, FURTHER = 4, 8.0
#: A relative residual of guesses that costs next to nothing: it is divided by 1 − θ.
TOL = {torch.float64: 1e-10, torch.float32: 1e-6}
#: Iterations of a guess at most: where W is large, rounding in single precision keeps the residual above
#: its tolerance.
MOST = {torch.float64: PeacemanRachford.most_iterations, torch.float32: 200}
#: Larger numbers are left out of guesses.
SANE = {torch.float64: 1e100, torch.float32: 1e30}
#: Room for the rounding of the image of the larger box, relative to the states.
ROOM = 2.0**-44


class State(Step):
    """The box of the equilibrium for boxes of what drives it.

    Args:
        W: The step z ↦ Wz, without bias.
        operator: W and |W| as operators of a solver, in the precision of guesses.
        perron: A proven v, (n,).

    Rows of which nothing is proven are NaN.
    """

    def __init__(self, W: Step, operator: Operator, sigma: Sigma, perron: Perron) -> None:
        self.W, self.operator, self.sigma, self.perron = W, operator, Activate(sigma), perron
        both = Sigma.concatenate([sigma, sigma])
        tol, most = TOL[operator.dtype], MOST[operator.dtype]
        self.solver = PeacemanRachford(operator, both, tol=tol, max_iter=most, compact=False)

    def roughly(self) -> State:
        """The same from guesses in single precision, if there are any: boxes are a little wider."""
        try:
            return State(self.W, self.operator.in_single(), self.sigma.sigma, self.perron)
        except InconclusiveError:  # a resolvent that only double precision has
            return self

    def __call__(self, box: Ball) -> Ball:
        return self.verified(box, self.guess(box))

    def guess(self, box: Ball) -> Ball:
        """About the box of the equilibrium; nothing here is trusted."""
        low, high = ends(box)
        c = torch.from_numpy(np.concatenate([high, low], axis=1)).to(self.operator.dtype)
        sane = (c.abs() < SANE[c.dtype]).all(dim=1, keepdim=True)
        with torch.no_grad():
            z = self.solver.solve(torch.where(sane, c, 0.0)).z
        high, low = z.double().numpy().T.reshape(2, -1, len(c))
        return between(np.minimum(low, high).T, np.maximum(low, high).T)

    def image(self, z: Ball, box: Ball) -> Ball:
        """A box that holds F([z])."""
        return self.sigma(self.W(z) + box)

    def verified(self, box: Ball, z: Ball) -> Ball:
        """A box that is proven to hold the equilibrium, in rows where one is found near z."""
        F = self.image(z, box)
        reach = np.abs(F.mid - z.mid) + F.radius() + ROOM * (np.abs(F.mid) + F.radius() + 1.0)
        tau = self.perron.multiple(reach - z.radius())
        found, proven = z, np.zeros(len(tau), dtype=bool)
        for _ in range(TRIES):
            wide = Ball(z.mid, z.radius() + tau[:, None] * self.perron.v)
            F = self.image(wide, box)
            holds = inside(F, wide) & ~proven
            mid = np.where(holds[:, None], F.mid, found.mid)
            found = Ball(mid, np.where(holds[:, None], F.radius(), found.radius()))
            proven |= holds
            if proven.all():
                break
            tau = FURTHER * tau
        return nothing(found, proven)


def equilibrium(block: Equilibrium) -> list[Step]:
    alpha = _relaxation(block)
    rows = Ball(alpha[:, None])
    W = rows * Ball(block.W.numpy()) + diagonal(Ball(np.ones_like(alpha)) - Ball(alpha))
    driving = Matrix(rows * Ball(block.U.numpy()), Ball(alpha) * Ball(block.b_z.numpy()))
    readout = Matrix(block.G.numpy(), block.b_y.numpy())
    mid = torch.from_numpy(W.mid)
    operator = Paired(Dense(mid), Dense(mid.abs()))
    state = Matrix(W, np.zeros_like(alpha))
    return [driving, State(state, operator, block.sigma, _perron(magnitude(W), 1)), readout]


def _relaxation(block: Equilibrium) -> np.ndarray:
    """α (n,) > 0, exact numbers: 1 but where W_ii < 0 and σ is a projection."""
    own = block.W.diagonal().numpy()
    projections = all(isinstance(kind, ReLU | Identity) for kind, _ in block.sigma.segments)
    return 1.0 / (1.0 - np.minimum(own, 0.0)) if projections else np.ones_like(own)


def conv_equilibrium(block: ConvEquilibrium) -> list[Step]:
    shape = block.height, block.width, "circular"
    W = block.W.numpy()
    # on images that are constant per channel |W| acts by the sums of its taps
    sums = sum_up(np.abs(W).reshape(*W.shape[:2], -1))

    def on_torus(K: torch.Tensor) -> Operator:
        return convolution(K, block.torus)

    operator = Paired(on_torus(block.W), on_torus(block.W.abs()))
    state = State(kernel(W, *shape), operator, block.sigma, _perron(sums, block.pixels))
    driving = kernel(block.U.numpy(), *shape, block.b_z.numpy())
    return [driving, state, kernel(block.G.numpy(), *shape, block.b_y.numpy())]


def _perron(S: np.ndarray, pixels: int) -> Perron:
    perron = Perron.of(S)
    if perron is None:
        raise UnsupportedError(
            "no v > 0 with |W|v ≤ θv, θ < 1, is proven: the interval equilibrium may not exist"
        )
    return perron.spread(pixels)
