"""A random dense network of every family. To add one: a function of `Chance`, a line in `DENSE`."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from benchmarks.fuzz.chance import Chance
from certlip.blocks import Activation, Affine, Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.equilibrium import LBEN, MonDEQ
from certlip.layers import (
    AOLDense,
    CPLDense,
    LipschitzLayer,
    NormalizedHead,
    OrthogonalDense,
    SandwichDense,
    SLLDense,
    Truncate,
)
from certlip.reparam import equilibrium_from_network, reparametrize


def _head(chance: Chance, d: int) -> LipschitzLayer:
    return chance.one_of((Truncate, NormalizedHead, OrthogonalDense))(d, chance.size(2, min(d, 5)))


def residual(chance: Chance, layer: Callable[..., LipschitzLayer]) -> Network:
    """SLL or CPL."""
    d = chance.size(3, 12)
    depth = chance.size(1, 4)
    layers = [layer(d, chance.size(1, 20), chance.activation()) for _ in range(depth)]
    return chance.frozen(*layers, _head(chance, d))


def sequential(chance: Chance, layer: Callable[..., LipschitzLayer]) -> Network:
    """AOL or orthogonal."""
    widths = [chance.size(3, 14) for _ in range(chance.size(2, 4))]
    layers = [layer(a, b, chance.activation()) for a, b in itertools.pairwise(widths)]
    return chance.frozen(*layers, layer(widths[-1], chance.size(2, 5)))


def sandwich(chance: Chance) -> Network:
    widths = [chance.size(3, 10) for _ in range(chance.size(2, 3))]
    layers = [
        SandwichDense(a, chance.size(2, 20), b, chance.activation(), lip=chance.log(-1.0, 1.0))
        for a, b in itertools.pairwise(widths)
    ]
    return chance.frozen(*layers, _head(chance, widths[-1]))


def mondeq(chance: Chance, *, generalized: bool) -> Network:
    chance.wild = False
    layer = MonDEQ(
        *(chance.size(3, 10), chance.size(2, 16), chance.size(2, 5)),
        m=chance.log(-1.0, 0.5),
        lip=chance.one_of((None, 1.0, 3.0)),
        generalized=generalized,
        activation=chance.activation(0.1),
    )
    return chance.frozen(layer)


def lben(chance: Chance) -> Network:
    chance.wild = False
    d, n, q = chance.size(3, 10), chance.size(2, 16), chance.size(2, 5)
    kinds = tuple((chance.activation(0.1), count) for count in (n - n // 2, n // 2))
    layer = LBEN(
        log_psi=0.5 * chance.normal(n),
        U=chance.normal(n, d),
        G=chance.normal(q, n),
        V=0.5 * chance.normal(n, n),
        S=chance.normal(n, n),
        b_z=torch.zeros(n, dtype=torch.float64),
        b_y=torch.zeros(q, dtype=torch.float64),
        sigma=Sigma(kinds),
        lip=chance.log(-1.0, 1.0),
        eps=chance.log(-3.0, -1.0),
    )
    return chance.frozen(layer)


def triangular(chance: Chance) -> Network:
    """An explicit network as one equilibrium with strictly triangular W."""
    return equilibrium_from_network(residual(chance, SLLDense))


def twin(chance: Chance) -> Network:
    """An explicit network as an LBEN whose parameters were moved a little, so that W is full."""
    chance.wild = False
    make = chance.one_of((lambda: residual(chance, SLLDense), lambda: sandwich(chance)))
    parts = reparametrize(make())
    for lben in parts.lbens:
        with torch.no_grad():
            for parameter in lben.parameters():
                parameter += chance.log(-6.0, -3.0) * chance.normal(*parameter.shape)
        lben.eps = 1e-6
    return parts.freeze()


def perceptron(chance: Chance) -> Network:
    """Affine blocks and activations of any size, one in three a single affine block: bounds are tight."""
    depth = chance.one_of((1, 2, 3))
    widths = [chance.size(2, 12) for _ in range(depth)] + [chance.size(2, 5)]
    blocks = []
    for a, b in itertools.pairwise(widths):
        W = chance.log(-2.0, 2.0) * chance.normal(b, a)
        blocks += [
            Affine(W, chance.scale * chance.normal(b)),
            Activation(Sigma.of(chance.one_of((ReLU(), chance.activation())), b)),
        ]
    return chance.normalized(blocks[:-1])


DENSE: dict[str, Callable[[Chance], Network]] = {
    "perceptron": perceptron,
    "sll": lambda chance: residual(chance, SLLDense),
    "cpl": lambda chance: residual(chance, CPLDense),
    "aol": lambda chance: sequential(chance, AOLDense),
    "orthogonal": lambda chance: sequential(chance, OrthogonalDense),
    "sandwich": sandwich,
    "mondeq": lambda chance: mondeq(chance, generalized=False),
    "g-mondeq": lambda chance: mondeq(chance, generalized=True),
    "lben": lben,
    "triangular": triangular,
    "twin": twin,
}
