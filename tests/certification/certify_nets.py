"""Small networks of every kind, and their exact outputs in rational arithmetic."""

from fractions import Fraction

import numpy as np
import torch

from certlip.blocks import Activation, Affine, Equilibrium, Network, Normalize, Origin, Sigma
from certlip.blocks.activations import LeakyReLU, ReLU
from certlip.equilibrium import LBEN
from certlip.models import SLLClassifier
from certlip.reparam import equilibrium_from_network
from certlip.solvers import Evaluator


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def affine(W, b=None):
    W = tensor(W)
    return Affine(W, torch.zeros(len(W), dtype=torch.float64) if b is None else tensor(b))


def normalize(d, std=0.3):
    return Normalize(tensor(np.full(d, 0.2)), tensor(np.linspace(std, 2 * std, d)))


def sll(seed=0, d=4, classes=3, width=6, hidden=5, depth=3):
    torch.manual_seed(seed)
    model = SLLClassifier(d, classes, width=width, hidden=hidden, depth=depth).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.bias.normal_()
            layer.log_q.normal_()
    return model.freeze()


def lben_block(seed=0, n=6, d=4, q=3, lip=1.0, eps=0.05, sigma=None):
    g = torch.Generator().manual_seed(seed)
    shapes = [(n,), (n, d), (q, n), (n, n), (n, n), (n,), (q,)]
    names = ("log_psi", "U", "G", "V", "S", "b_z", "b_y")
    values = [0.5 * torch.randn(s, generator=g, dtype=torch.float64) for s in shapes]
    sigma = sigma or Sigma.of(ReLU(), n)
    parts = dict(zip(names, values, strict=True))
    return LBEN(**parts, sigma=sigma, lip=lip, eps=eps).freeze()


def mondeq_block(seed=0, n=6, d=4, q=3, m=0.5):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((2, n, n)) / np.sqrt(n)
    W = (1 - m) * np.eye(n) - A.T @ A + B - B.T
    U, G, b = rng.standard_normal((n, d)), rng.standard_normal((q, n)), rng.standard_normal(n)
    origin = Origin("mondeq", {"m": m})
    return Equilibrium(*map(tensor, (W, U, G, b)), tensor(np.zeros(q)), Sigma.of(ReLU(), n), origin)


def explicit(seed=0):
    rng = np.random.default_rng(seed)
    blocks = sll(seed, classes=6).blocks
    sigma = Sigma(((ReLU(), 3), (LeakyReLU(0.3), 3)))
    return Network(
        [
            normalize(4),
            *blocks,
            Activation(sigma),
            affine(rng.normal(size=(3, 6)), rng.normal(size=3)),
        ]
    )


NETWORKS = {
    "affine": lambda s: Network(
        [affine(*map(np.random.default_rng(s).normal, (0, 0), (1, 1), ((3, 4), 3)))]
    ),
    "explicit": explicit,
    "triangular": lambda s: equilibrium_from_network(Network([normalize(4), *sll(s).blocks])),
    "lben": lambda s: Network([normalize(4), lben_block(s)]),
    "mondeq": lambda s: Network([normalize(4), mondeq_block(s), affine(2 * np.eye(3))]),
}


# --- exact arithmetic ----------------------------------------------------------------------------


def exact(array):
    array = np.asarray(array)
    return np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(array)


def activate(sigma, v):
    out, start = v.copy(), 0
    for kind, count in sigma.segments:
        slope = {"relu": 0.0, "identity": 1.0, "leaky_relu": getattr(kind, "slope", 0.0)}[kind.name]
        for i in range(start, start + count):
            out[i] = v[i] if v[i] >= 0 else Fraction(slope) * v[i]
        start += count
    return out


def exact_output(network, x):
    """f(x) for one input in rational arithmetic; equilibria by their verified active set."""
    y = exact(x)
    for block in network.blocks:
        a = {name: exact(array.numpy()) for name, array in block.arrays().items()}
        if block.kind == "normalize":
            y = (y - a["mean"]) / a["std"]
        elif block.kind == "affine":
            y = a["W"].dot(y) + a["b"]
        elif block.kind == "activation":
            y = activate(block.sigma, y)
        elif block.kind == "residual":
            s = activate(block.sigma, a["W"].T.dot(y) + a["b"])
            y = y - 2 * a["W"].dot(a["D"] * s)
        else:
            y = a["G"].dot(exact_equilibrium(block, a, y)) + a["b_y"]
    return y


def exact_equilibrium(block, a, x):
    """z = σ(Wz + c) exactly: by substitution, or on a guessed active set that is then checked."""
    W, c = a["W"], a["U"].dot(x) + a["b_z"]
    z = exact(np.zeros(len(c)))
    if not np.triu(block.W.numpy()).any():
        for i in range(len(c)):
            z[i] = activate(block.sigma, W.dot(z) + c)[i]
        return z
    guess = Evaluator(Network([block])).block(0, tensor(x.astype(float))[None])[1].z[0].numpy()
    free = np.flatnonzero(guess > 1e-9)
    z[free] = solve((exact(np.eye(len(c))) - W)[np.ix_(free, free)], c[free])
    assert (z == activate(block.sigma, W.dot(z) + c)).all(), "not the active set of a relu"
    return z


def solve(A, b):
    """Gauss elimination in rational arithmetic."""
    A, b, n = A.copy(), b.copy(), len(b)
    for i in range(n):
        p = next(r for r in range(i, n) if A[r, i] != 0)
        A[[i, p]], b[[i, p]] = A[[p, i]], b[[p, i]]
        for r in range(n):
            if r != i and A[r, i] != 0:
                factor = A[r, i] / A[i, i]
                A[r], b[r] = A[r] - factor * A[i], b[r] - factor * b[i]
    return b / A.diagonal() if n else b


def samples(network, n, seed=0, scale=1.0):
    """Inputs, and the predicted classes as labels."""
    x = scale * np.random.default_rng(seed).standard_normal((n, network.in_width))
    return x, Evaluator(network)(torch.tensor(x)).argmax(dim=1).numpy()
