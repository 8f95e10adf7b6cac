"""One round: a random network, its proof, certified samples, and attacks on each of them at several ε."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.fuzz.chance import Chance
from benchmarks.fuzz.images import IMAGE
from benchmarks.fuzz.nets import DENSE
from benchmarks.fuzz.trained import TRAINED
from certlip.blocks import Network
from certlip.certification import Certifier, Status
from certlip.certification.attacks import ATTACKS, Counterexample, Falsifier
from certlip.certification.attacks.rounding import bisect
from certlip.certification.float32 import require_bounded
from certlip.errors import CertlipError, InconclusiveError, UnsupportedError
from certlip.linalg.rigorous.rounding import down, up
from certlip.lmi import NetworkProof, prove, prove_pairs
from certlip.lmi.search import Search
from certlip.solvers import Evaluator

FAMILIES = {**DENSE, **IMAGE, **TRAINED}

#: Each sample is attacked at these shares of its certified radius, and at a random one.
SHARES = (1.0, 0.9, 0.5)
#: So many samples a round; with their ε they fill one batch.
SAMPLES = 64
#: How many samples are attacked at how many radii as well, to show that the attacks can find something.
BEYOND, FACTOR = 16, 4.0


@dataclass(frozen=True)
class Round:
    """What one round did. `pairs` (sample, ε) were attacked, each with its own search."""

    family: str
    number: int
    norm: str
    semantics: str
    pairs: int
    broken: int
    tried_beyond: int
    broken_beyond: int
    seconds: float
    skipped: str = ""

    def row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """A proven network and certified samples of it, as a seed gives them."""

    network: Network
    proof: NetworkProof
    x: np.ndarray
    label: np.ndarray
    radius: np.ndarray
    norm: str
    semantics: str


def case(family: str, number: int, seed: int) -> Case:
    """The case of one round.

    Raises:
        CertlipError: nothing is proven, or nothing is certified.
    """
    chance = Chance(seed, list(FAMILIES).index(family), number)
    network = FAMILIES[family](chance)
    semantics = ("real", "real", "float32")[number % 3]
    norm = ("l2", "l2", "l2", "linf")[number % 4]
    try:
        require_bounded(network)
    except UnsupportedError:
        semantics = "real"
    # every other round multipliers are solved for, of blocks and of pairs of classes
    search = Search("structured") if number % 2 else None
    proof = prove_pairs(network, prove(network, search=search), search)
    x = _samples(chance, network)
    label = Evaluator(network)(torch.from_numpy(x)).argmax(dim=1).numpy()
    radii = Certifier(network, proof, semantics=semantics)(x, label)
    rows = np.flatnonzero(radii.status == Status.CERTIFIED)
    if len(rows) == 0:
        raise InconclusiveError("no sample is certified")
    radius = radii.radius_lower[rows]
    if norm == "linf":  # ‖d‖₂ ≤ √dim ‖d‖∞
        radius = down(radius / up(np.sqrt(x.shape[1])))
    return Case(network, proof, x[rows], radii.predicted[rows], radius, norm, semantics)


def attacked(
    case: Case, *, steps: int, restarts: int, seed: int
) -> tuple[int, list[Counterexample]]:
    """How many pairs were attacked, and what broke."""
    rng = np.random.default_rng(seed)
    shares = np.array([*SHARES, rng.uniform()])
    eps = case.radius[:, None] * shares
    i, k = np.nonzero((eps > 0.0) & (eps <= case.radius[:, None]))
    falsifier = Falsifier(
        case.network,
        case.proof,
        norm=case.norm,
        semantics=case.semantics,
        attacks=tuple(ATTACKS),
        steps=steps,
        restarts=restarts,
    )
    generator = torch.Generator().manual_seed(seed)
    return len(i), falsifier(case.x[i], case.label[i], eps[i, k], generator)


def play(
    family: str, number: int, seed: int, *, steps: int = 8, restarts: int = 2
) -> tuple[Round, Case | None, list[Counterexample]]:
    """One round from its seed; the case is None where nothing was certified."""
    start = time.process_time()
    try:
        one = case(family, number, seed)
    except CertlipError as error:
        seconds = time.process_time() - start
        return Round(family, number, "", "", 0, 0, 0, 0, seconds, str(error)), None, []
    pairs, broken = attacked(one, steps=steps, restarts=restarts, seed=number)
    beyond = Falsifier(one.network, one.proof, norm=one.norm, steps=steps, restarts=1)
    few = slice(0, BEYOND)
    found = beyond(one.x[few], one.label[few], FACTOR * one.radius[few], torch.Generator())
    done = Round(
        *(family, number, one.norm, one.semantics, pairs, len(broken)),
        *(len(one.x[few]), len(found), time.process_time() - start),
    )
    return done, one, broken


def _samples(chance: Chance, network: Network) -> np.ndarray:
    """Ordinary inputs, and inputs at distances of all sizes from the decision boundary, (SAMPLES, d)."""
    d = network.in_width
    x = chance.scale * chance.rng.standard_normal((SAMPLES, d))
    if chance.inputs is not None:
        x = chance.inputs[chance.rng.integers(0, len(chance.inputs), SAMPLES)]
    half = SAMPLES // 2
    start, toward = torch.from_numpy(x[half:]), torch.from_numpy(chance.rng.permutation(x[half:]))
    evaluate = Evaluator(network)
    own = evaluate(start).argmax(dim=1)

    def beyond(t: torch.Tensor) -> torch.Tensor:
        return evaluate(start + t * (toward - start)).argmax(dim=1) != own

    # of two inputs of one class the other one is taken
    zero = torch.zeros(len(start), 1, dtype=torch.float64)
    t, _ = bisect(beyond, zero, zero + 1.0)
    away = torch.from_numpy(10.0 ** chance.rng.uniform(-15.0, 0.0, (len(start), 1)))
    x[half:] = (start + (1.0 - away) * t * (toward - start)).numpy()
    return x
