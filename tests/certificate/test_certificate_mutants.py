"""Mutants of real certificates: images, monotone networks, bounds of pairs. All are rejected, sealed again.

Radii are the largest that are proven, up to rounding: whatever changes the function, the data or the
proofs makes at least one claim false, or unproven.
"""

import copy
import functools

import conv_nets
import numpy as np
import pytest
import torch
from sealed import put, read, scale, text, times, write
from written import NETWORKS

from certlip.blocks import GroupSort, Network, Resize, Window
from certlip.certificate import claims_of, write_certificate
from certlip.certificate.write import KINDS
from certlip.certification import certify, parse_eps
from certlip.checker import CertificateError, check_certificate
from certlip.data import Dataset
from certlip.lmi import prove, prove_pairs
from certlip.lmi.search import Search
from certlip.solvers import Evaluator


def strides():
    """Phases of a window that leaves the image on both sides, and channels sorted in pairs."""
    window = Window(2, 4, 6, -1, 1, 3, 2, 2, 2)
    return Network(
        [window, conv_nets.convolution(1, 2, 8, (2, 2), 3, 2, "zero"), GroupSort(12, 2, 6)]
    )


BASES = {
    "circular": lambda: conv_nets.network(0),
    "zero": lambda: conv_nets.network(1, "zero"),
    "strides": strides,
    "torus": lambda: Network([conv_nets.conv_lben(0, 3, 2, 2, 5, 6), Resize(60, 31)]),
    "mondeq": lambda: NETWORKS["mondeq"](0),
    "pairs": lambda: NETWORKS["lben"](0),
}


@functools.cache
def original(folder, name):
    """The document and the arrays of an honest certificate."""
    network = BASES[name]()
    proof = prove(network)
    if name == "pairs":
        proof = prove_pairs(network, proof, Search("structured"))
    x = np.random.default_rng(3).uniform(size=(30, network.in_width))
    label = Evaluator(network, tol=1e-13)(torch.tensor(x)).argmax(dim=1).numpy()
    label[::9] = (label[::9] + 1) % network.classes
    data = Dataset("random", "test", x, label, network.classes, (network.in_width,))
    claims = claims_of(certify(network, proof, x, label, keep_states=True), data, parse_eps("1e-6"))
    assert claims.certified_correct["1e-6"] > 15
    path = folder / f"{name}.certlip"
    write_certificate(path, network, proof.blocks, str(proof.lip), claims)
    return read(path)


def each(change, name):
    """Change an array by a function of it."""
    return lambda d, a: a.__setitem__(name, np.ascontiguousarray(change(a[name])))


def drop(*k):
    def mutate(d, a):
        for i in sorted(k, reverse=True):
            for part in (d["model"]["blocks"], d["proofs"]):
                for name in _arrays_of(part.pop(i)):
                    for arrays in (a, d["arrays"]):
                        arrays.pop(name, None)

    return mutate


def _arrays_of(node):
    own = [v for v in node.values() if isinstance(v, str)]
    parts = [part for part in node.values() if isinstance(part, dict)]
    return own + [v for part in parts for v in part.values() if isinstance(v, str)]


def swapped(i, j):
    def mutate(d, a):
        for part in (d["model"]["blocks"], d["proofs"]):
            part[i], part[j] = part[j], part[i]

    return mutate


def winner(d, a):
    """Every certified sample is said to be of another class."""
    certified = a["samples.status"] == 0
    for name in ("samples.label", "samples.predicted"):
        a[name] = np.where(certified, (a[name] + 1) % 3, a[name])


def meta(k, **changes):
    return lambda d, a: d["model"]["blocks"][k]["meta"].update(changes)


def linear(k):
    def mutate(d, a):
        sigma = d["model"]["blocks"][k]["meta"]["sigma"]
        sigma[:] = [["identity", sum(count for _, count, _ in sigma), {}]]

    return mutate


ANY = {
    "radii up by 0.1 %": scale("samples.radius_lower", 1.001),
    "radii without √2": scale("samples.radius_lower", 2**0.5),
    "another winner": winner,
    "inputs moved": scale("samples.x", 1.01),
    "inputs mirrored": each(lambda x: 1.0 - x, "samples.x"),
    "one input changed": put("samples.x", slice(0, None, 5), 0.9),
    "predictions turned": each(lambda p: (p + 1) % 3, "samples.predicted"),
    "all certified": scale("samples.status", 0),
    "natural count up": text(("claims", "natural_correct"), lambda n: n + 1),
    "certified count up": text(("claims", "certified_correct", "1e-6"), lambda n: n + 1),
    "eps too small": text(("eps", "1e-6"), lambda _: "9e-7"),
    "top-level L lower": text(("lipschitz_upper",), times(0.99)),
    "top-level L zero": text(("lipschitz_upper",), lambda _: "0"),
    "no proofs": text(("proofs",), lambda p: []),
    "another semantics": text(("statement", "semantics"), lambda _: "float32"),
    "an unknown entry": lambda d, a: d.update(note="1"),
}


def kernel(k, name="K"):
    """What may be wrong with a kernel, or with the matrix of an equilibrium."""
    member = f"block{k}.{name}"
    return {
        f"{member} scaled up": scale(member, 1.01),
        f"{member} scaled down": scale(member, 0.99),
        f"{member} negative": scale(member, -1.0),
        f"{member} flipped": each(lambda K: K[..., ::-1, ::-1], member),
        f"{member} one number": put(member, 0, 7.0),
        f"{member} NaN": put(member, 1, np.nan),
        f"{member} of float32": each(lambda K: K.astype("<f4"), member),
        f"{member} without a row": each(lambda K: K[1:], member),
    }


def bound(k):
    return {
        f"L of block {k} lower": text(("proofs", k, "lipschitz_upper"), times(0.4)),
        f"L of block {k} zero": text(("proofs", k, "lipschitz_upper"), lambda _: "0"),
        f"L of block {k} by another rule": text(("proofs", k, "rule"), lambda _: "trust"),
        f"L of block {k} a number": text(("proofs", k, "lipschitz_upper"), float),
    }


def multipliers(k):
    lam, gam, mu = f"proof{k}.lam", f"proof{k}.gam", ("proofs", k, "mu_lower")
    return {
        f"Λ of block {k} times 4": scale(lam, 4.0),
        f"Λ of block {k} by 4": scale(lam, 0.25),
        f"Λ of block {k} negative": scale(lam, -1.0),
        f"Λ of block {k} with a zero": put(lam, 1, 0.0),
        f"Λ of block {k} with one tiny": put(lam, 1, 1e-20),
        f"Λ of block {k} too short": each(lambda v: v[:-1], lam),
        f"Γ of block {k} negative": scale(gam, -1.0),
        f"Γ of block {k} with one huge": put(gam, 0, 1e12),
        f"Γ of block {k} NaN": put(gam, 0, np.nan),
        f"μ of block {k} times 4": text(mu, times(4.0)),
        f"μ of block {k} zero": text(mu, lambda _: "0"),
        f"condition of block {k}": text(("proofs", k, "condition"), lambda _: "3"),
        f"no Γ for block {k}": lambda d, a: d["proofs"][k].pop("gam"),
    }


def state(k):
    name, b_y = f"samples.z{k}", f"block{k}.b_y"
    return {
        f"states of block {k} zero": scale(name, 0.0),
        f"states of block {k} 0.1 % off": scale(name, 1.001),
        f"states of block {k} of float32": each(lambda z: 1.0001 * z.astype("<f4"), name),
        f"states of block {k} infinite": put(name, 3, np.inf),
        f"states of block {k} too short": each(lambda z: z[:, 1:], name),
        f"block {k} linear": linear(k),
        f"bias of block {k}": put(f"block{k}.b_z", 0, 1.5),
        f"bias behind block {k}": each(lambda b: b + 30.0 * (np.arange(len(b)) == 0), b_y),
    }


# 0 resize, 1 convolution, 2 conv-residual, 3 group-sort, 4 pooling, 5 conv-equilibrium, 6 resize
NET = {
    **kernel(1),
    **kernel(2),
    **kernel(5, "W"),
    "U up": scale("block5.U", 3.0),
    "U with one number": put("block5.U", 0, 4.0),
    "G up": scale("block5.G", 3.0),
    "G with one number": put("block5.G", 0, 4.0),
    **bound(1),
    **bound(2),
    **bound(3),
    **bound(4),
    **bound(5),
    **multipliers(5),
    **state(5),
    "bias of the convolution": put("block1.b", 0, 2.5),
    "bias of the residual": put("block2.b", 0, 2.5),
    "D 20 % up": scale("block2.D", 1.2),
    "D negative": scale("block2.D", -1.0),
    "D with one negative": put("block2.D", 0, -1e-3),
    "δ below 0": text(("proofs", 2, "delta"), lambda _: "-1e-3"),
    "δ without its price": text(("proofs", 2, "delta"), lambda _: "0.1"),
    "residual linear": linear(2),
    "image turned": meta(1, height=2, width=4),
    "image of the residual turned": meta(2, height=2, width=4),
    "image of a half": meta(1, height=2, width=2),
    "padding of another word": meta(1, padding="reflect"),
    "image of no rows": meta(1, height=0, width=8),
    "image of a text": meta(1, height="4"),
    "groups of another stride": meta(3, stride=4),
    "groups of four": meta(3, group=4, stride=4),
    "groups that do not divide": meta(3, group=3),
    "pooling of another window": meta(4, window=1),
    "pooling that does not divide": meta(4, window=3),
    "pooling of fewer channels": meta(4, channels=1),
    "pooling with a border": meta(4, pad=1),
    "resize to fewer": meta(6, q=2),
    "resize of another width": meta(6, d=5),
    "no sorting": drop(3),
    "no residual": drop(2),
    "no convolution": drop(0, 1),
    "pooling before the sorting": swapped(3, 4),
    "pairs for a kind without them": lambda d, a: d["proofs"][5].update(
        pairs={"a": "samples.label", "j": "samples.label", "lipschitz_upper": "a", "lam": "b"}
    ),
}
STRIDES = {
    **kernel(1),
    **bound(0),
    "window one row down": meta(0, top=0),
    "window one column left": meta(0, left=0),
    "window of other steps": meta(0, row_step=3, rows=2),
    "window with columns for rows": meta(0, rows=2, columns=3),
    "window of half a channel": meta(0, channels=1, height=8),
    "window of no step": meta(0, row_step=0),
    "window far away": meta(0, top=50),
    "window of a trillion": meta(0, rows=10**6, columns=10**6),
    "circular padding": meta(1, padding="circular"),
    "no sorting": drop(2),
}
PAIRS = {
    **multipliers(1),
    **state(1),
    "pair bounds 1 % lower": scale("proof1.pairs.lipschitz_upper", 0.99),
    "one pair bound lower": put("proof1.pairs.lipschitz_upper", 0, 0.05),
    "pair bound zero": put("proof1.pairs.lipschitz_upper", 0, 0.0),
    "pair bound NaN": put("proof1.pairs.lipschitz_upper", 0, np.nan),
    "Λ of the pairs turned round": each(lambda v: v[::-1], "proof1.pairs.lam"),
    "Λ of the pairs times 3": scale("proof1.pairs.lam", 3.0),
    "Λ of the pairs negative": scale("proof1.pairs.lam", -1.0),
    "Λ of one pair with a zero": put("proof1.pairs.lam", 4, 0.0),
    "classes of the pairs turned": each(lambda v: v[::-1], "proof1.pairs.a"),
    "other classes": each(lambda v: (v + 1) % 4, "proof1.pairs.j"),
    "a pair of one class": each(lambda v: 0 * v, "proof1.pairs.j"),
    "a class that is none": put("proof1.pairs.j", 0, 4),
    "a negative class": put("proof1.pairs.a", 0, -4),
    "classes as doubles": each(lambda v: v.astype("<f8"), "proof1.pairs.a"),
    "fewer multipliers": each(lambda v: v[:-1], "proof1.pairs.lam"),
    "no bounds of pairs": lambda d, a: d["proofs"][1].pop("pairs"),
    "pairs without Λ": lambda d, a: d["proofs"][1]["pairs"].pop("lam"),
    "pairs with more": lambda d, a: d["proofs"][1]["pairs"].update(more="proof1.lam"),
    "pairs of another block": lambda d, a: d["proofs"][0].update(pairs=d["proofs"][1].pop("pairs")),
    "G negative for the pairs": each(lambda G: G * [[1], [1], [1], [-1]], "block1.G"),
}
CASES = {
    "circular": {
        **ANY,
        **NET,
        "zero padding": meta(1, padding="zero"),
        "residual with zeros": meta(2, padding="zero"),
    },
    "zero": {**ANY, **NET, "no padding": meta(2, padding="circular")},
    "strides": {**ANY, **STRIDES},
    "torus": {
        **ANY,
        **kernel(0, "W"),
        **multipliers(0),
        **state(0),
        **bound(0),
        "image turned": meta(0, height=6, width=5),
    },
    "mondeq": {
        **ANY,
        **multipliers(1),
        **state(1),
        **bound(0),
        **bound(1),
        "normalization dropped": drop(0),
    },
    "pairs": {**ANY, **PAIRS},
}
ALL = [(base, name) for base, cases in CASES.items() for name in cases]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("originals")


def accepted(path):
    """Whether the checker accepts it; nothing but a verdict or an error comes out."""
    try:
        return check_certificate(path).accepted
    except CertificateError:
        return False


@pytest.mark.parametrize(("base", "name"), ALL, ids=[f"{b}: {n}" for b, n in ALL])
def test_mutants_are_rejected(base, name, folder, tmp_path):
    document, arrays = copy.deepcopy(original(folder, base))
    CASES[base][name](document, arrays)
    write(tmp_path / "m.certlip", document, arrays)
    assert not accepted(tmp_path / "m.certlip")


@pytest.mark.parametrize("base", BASES)
def test_the_unchanged_copy_is_accepted(base, folder, tmp_path):
    write(tmp_path / "c.certlip", *copy.deepcopy(original(folder, base)))
    verdict = check_certificate(tmp_path / "c.certlip")
    assert verdict.accepted, verdict.reason


def test_there_are_enough_of_every_kind():
    kinds = {block.kind for make in BASES.values() for block in make().blocks}
    assert kinds == set(KINDS) - {"affine", "activation", "residual"}  # of those there are others
    assert len(ALL) > 400
