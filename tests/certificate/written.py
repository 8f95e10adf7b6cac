"""Small networks of every kind, honest claims about them, and the verdict on what was written."""

import functools
from dataclasses import replace

import conv_nets
import numpy as np
import torch

from certlip.blocks import (
    Activation,
    Affine,
    Equilibrium,
    GroupSort,
    Network,
    Normalize,
    Origin,
    Resize,
    Sigma,
    Window,
)
from certlip.blocks.activations import ELU, LeakyReLU, ReLU, Tanh
from certlip.certificate import claims_of, write_certificate
from certlip.certificate.claims import CERTIFIED
from certlip.certification import certify, parse_eps
from certlip.checker import check_certificate
from certlip.data import Dataset
from certlip.equilibrium import LBEN
from certlip.lmi import prove
from certlip.models import SLLClassifier
from certlip.reparam import equilibrium_from_network, reparametrize
from certlip.solvers import Evaluator

D = 6


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def normalize():
    return Normalize(tensor(np.full(D, 0.3)), tensor(np.linspace(0.3, 0.6, D)))


def sll(seed, classes, width=9, hidden=7, depth=3):
    torch.manual_seed(seed)
    model = SLLClassifier(D, classes, width=width, hidden=hidden, depth=depth).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.bias.normal_()
            layer.log_q.normal_()
    return model.freeze().blocks


def explicit(seed):
    rng = np.random.default_rng(seed)
    sigma = Sigma(((ReLU(), 1), (LeakyReLU(0.3), 2), (Tanh(), 2), (ELU(0.7), 1)))
    head = Affine(tensor(rng.normal(size=(4, 6))), tensor(rng.normal(size=4)))
    return Network([normalize(), *sll(seed, 6), Activation(sigma), head])


def lben(seed, n=12, kind=None):
    g = torch.Generator().manual_seed(seed)
    shapes = [(n,), (n, D), (4, n), (n, n), (n, n), (n,), (4,)]
    names = ("log_psi", "U", "G", "V", "S", "b_z", "b_y")
    values = [0.5 * torch.randn(s, generator=g, dtype=torch.float64) for s in shapes]
    sigma = Sigma.of(kind or ReLU(), n)
    return LBEN(**dict(zip(names, values, strict=True)), sigma=sigma, lip=2.0, eps=1e-3).freeze()


def mondeq(seed, n=10, m=0.5):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((2, n, n)) / np.sqrt(n)
    arrays = (
        (1 - m) * np.eye(n) - A.T @ A + B - B.T,
        rng.normal(size=(n, D)),
        rng.normal(size=(4, n)),
    )
    parts = [*map(tensor, arrays), tensor(rng.normal(size=n)), tensor(np.zeros(4))]
    return Equilibrium(*parts, Sigma.of(ReLU(), n), Origin("mondeq", {"m": m}))


def tanh(seed):
    return Network([normalize(), lben(seed, n=3, kind=Tanh())])


NETWORKS = {
    "explicit": explicit,
    "triangular": lambda s: equilibrium_from_network(Network([normalize(), *sll(s, 4)])),
    "lben": lambda s: Network([normalize(), lben(s)]),
    "reparametrized": lambda s: reparametrize(Network([normalize(), *sll(s, 4)])).freeze(),
    "mondeq": lambda s: Network([normalize(), mondeq(s)]),
}


def claimed(network, proof, n=40, seed=0, divisor=255):
    """The claims of an honest run; every sixth label is wrong."""
    raw = np.random.default_rng(seed).integers(0, 256, (n, D), np.uint8)
    label = Evaluator(network)(torch.tensor(raw / 255)).argmax(dim=1).numpy()
    label[::6] = (label[::6] + 1) % network.classes
    about = {"classes": network.classes, "shape": (D,)}
    if divisor:
        data = Dataset.from_raw("random", "test", raw, label, divisor=divisor, **about)
    else:
        data = Dataset("random", "test", raw / 255, label, **about)
    radii = certify(network, proof, data.x, data.label, keep_states=True)
    return claims_of(radii, data, parse_eps("36/255,0.01,1e-3"))


def recount(claims):
    good = claims.status == CERTIFIED
    counts = {t: int((good & (claims.radius_lower >= e)).sum()) for t, e in claims.eps.items()}
    natural = int((claims.predicted == claims.label).sum())
    return replace(claims, natural_correct=natural, certified_correct=counts)


def verdict(path, network, proofs, lip, claims):
    write_certificate(path, network, proofs, lip, claims)
    return check_certificate(path)


@functools.cache
def honest(make, seed, divisor=255):
    """One network, its proof and its claims; none of them is ever changed."""
    network = make(seed)
    proof = prove(network)
    return network, proof, claimed(network, proof, divisor=divisor)


IMAGES = {
    "circular": lambda s: conv_nets.network(s),
    "zero": lambda s: conv_nets.network(s, "zero"),
    "lben on a torus": lambda s: Network([conv_nets.conv_lben(s, 3, 2, 2, 5, 6)]),
    "wide lben": lambda s: Network([conv_nets.conv_lben(s, 3, 2, 1, 9, 8)]),
    "mondeq on a torus": lambda s: Network(
        [conv_nets.conv_mondeq(s, q=2, height=4, width=3, m=1.0), Resize(24, 3)]
    ),
    "strides": lambda s: Network(
        [
            Window(2, 4, 6, -1, 1, 3, 2, 2, 2),
            conv_nets.convolution(s, 2, 8, (2, 2), 3, 2, "zero"),
            GroupSort(12, 2, 6),
        ]
    ),
}
