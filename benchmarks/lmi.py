"""The least L over all Λ of (10), by the structured solver and by general cone solvers through cvxpy; every
L in the table is proven. Published monotone DEQ (87 units), random monotone DEQs with 784 inputs, the
LipSDP sample networks, multi-layer perceptrons of width 128, and the convolutional LBEN of 40,960 states.
Needs the `sdp` extra; Clarabel on the published DEQ takes minutes. The models of others are read from
../shared/data/models where that folder exists."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from certlip.blocks import Activation, Affine, ConvEquilibrium, Equilibrium, Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.errors import CertlipError
from certlip.lmi.chain import Chain, minimise_chain, prove_chain
from certlip.lmi.ladder import Budget, climb
from certlip.lmi.ladder.jointly import proven
from certlip.lmi.problem import Problem
from certlip.lmi.rules.equilibrium import prove_equilibrium
from certlip.lmi.search import Search
from certlip.lmi.solvers import solver_named
from certlip.lmi.whole import whole

MODELS = Path(__file__).resolve().parents[2] / "shared" / "data" / "models"
HEAD = [
    "model",
    "multipliers",
    "method",
    "solver's L",
    "proven L",
    "solve and proof, s",
    "ratio",
    "peak, n² doubles",
]
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
LIMIT, DEEP_LIMIT = 150.0, 600.0  # seconds for the ladder of one network, and for one chain


def run() -> list[list[str]]:
    rows = [HEAD]
    if MODELS.is_dir():
        rows += _published()
        rows += _lipsdp()
    else:
        rows.append([f"no {MODELS}: models of others are left out", *[""] * (len(HEAD) - 1)])
    rows += _random()
    rows += perceptrons()
    rows += _convolutional()
    return rows


def _published() -> list[list[str]]:
    from certlip.interop import convert

    block = convert(MODELS / "semimondeq_mnist.mat", "semimondeq", {"m": 20.0}).blocks[-1]
    assert isinstance(block, Equilibrium)
    searches = {
        "analytic": Search("analytic"),
        "structured": Search("structured"),
        "cvxpy, scs": Search("cvxpy", "scs", {"tol": 1e-6}),
        "cvxpy, clarabel": Search("cvxpy", "clarabel"),
    }
    rows, ours = [], None
    for name, search in searches.items():
        seconds, claimed, lip, _ = _best(
            lambda s=search: _proven(block, s), 3 if ours is None else 1
        )
        ours = seconds if name == "structured" else ours
        rows.append(_row("published DEQ", block.n, name, claimed, lip, seconds, ours))
    return rows


def _random() -> list[list[str]]:
    rows = []
    for n in (200, 400, 1000):
        seconds, claimed, lip, peak = _alone(_solve_random, n)
        share = f"{peak / (8.0 * n**2):.0f}"
        rows.append(_row("random DEQ", n, "structured", claimed, lip, seconds, None, share))
    return rows


def _solve_random(n: int) -> tuple[float | None, str]:
    return _proven(random_deq(n), Search("structured", options={"tol": 1e-5}))


def random_deq(n: int, inputs: int = 784, m: float = 1.0, seed: int = 0) -> Equilibrium:
    """W = (1 − m)I − AᵀA + B − Bᵀ; normal A, B of variance 1/n, U of 1/p, and G (10, n) of 1/n."""
    g = torch.Generator().manual_seed(seed)

    def normal(rows: int, columns: int, scale: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=g, dtype=torch.float64) / scale**0.5

    A, B = normal(n, n, n), normal(n, n, n)
    W = (1.0 - m) * torch.eye(n, dtype=torch.float64) - A.T @ A + B - B.T
    zero = torch.zeros(n, dtype=torch.float64)
    return Equilibrium(
        W, normal(n, inputs, inputs), normal(10, n, n), zero, zero[:10], Sigma.of(ReLU(), n)
    )


def _lipsdp() -> list[list[str]]:
    from certlip.interop import convert

    rows = []
    for name in ("lipsdp_mnist_weights", "lipsdp_random_weights"):
        network = convert(MODELS / f"{name}.mat", "lipsdp", {})
        rows += _climbed(name, network)
    return rows


def perceptrons(
    depths: tuple[int, ...] = (5, 10, 20, 50, 100), *, scs: bool = True
) -> list[list[str]]:
    """Width 128: seconds of the processor, per layer too, and their ratio to those of the first depth."""
    rows, first = [], None
    for depth in depths:
        name, network = f"width 128, depth {depth}", perceptron(128, depth)
        norms = climb(network, Budget(time.monotonic()), pairs=False).rungs[0]
        rows.append(_row(name, 128 * depth, norms.rung, None, str(norms.lip), norms.seconds, None))
        start = time.process_time()
        chain = Chain.of(network.blocks)
        found = minimise_chain(chain, tol=1e-5, max_seconds=DEEP_LIMIT)
        lip = str(prove_chain(chain, found.lam, found.lip))
        seconds = time.process_time() - start
        first = first or seconds
        method = (
            f"chain ({found.status}), {found.iterations} rounds, {seconds / depth:.3f} s per layer"
        )
        rows.append(_row(name, chain.n, method, found.lip, lip, seconds, first))
        if scs and depth == 5:  # more than this is out of reach of the cone solvers
            rows.append(_by_scs(name, network))
    return rows


def _by_scs(name: str, network: Network) -> list[str]:
    """The same LMI as one dense matrix through cvxpy, stopped after ten minutes."""
    forms = whole(network.blocks)
    start = time.perf_counter()
    (found,) = solver_named("scs", max_seconds=600.0).minimise(Problem.of_forms(forms))
    try:
        lip = str(proven(forms, found))
    except CertlipError as error:
        lip = f"none ({error})"
    seconds = time.perf_counter() - start
    return _row(name, forms.n, f"cvxpy, scs ({found.status})", found.lip, lip, seconds, None)


def perceptron(width: int, depth: int, seed: int = 0) -> Network:
    """`depth` hidden layers of ReLU between 784 inputs and 10 outputs, weights of variance 2/fan-in."""
    g = torch.Generator().manual_seed(seed)
    widths, blocks = [784, *[width] * depth, 10], []
    for k, (i, o) in enumerate(pairwise(widths)):
        if k:
            blocks.append(Activation(Sigma.of(ReLU(), i)))
        W = torch.randn(o, i, generator=g, dtype=torch.float64) * (2.0 / i) ** 0.5
        blocks.append(Affine(W, torch.zeros(o, dtype=torch.float64)))
    return Network(blocks)


def _climbed(name: str, network: Network) -> list[list[str]]:
    """The rungs of a network: norms, and one LMI."""
    ladder = climb(network, Budget(time.monotonic() + LIMIT, tol=1e-5), pairs=False)
    hidden = sum(b.in_width for b in network.blocks if isinstance(b, Activation))
    rows = []
    for rung in (ladder.rungs[0], ladder.rungs[-1]):
        estimate = rung.stretches[-1].estimate if rung.stretches else None
        lip = "none" if rung.lip is None else str(rung.lip)
        rows.append(_row(name, hidden, rung.rung, estimate, lip, rung.seconds, None))
    return rows


def _convolutional() -> list[list[str]]:
    from benchmarks.twin import trained_sll
    from certlip.reparam import reparametrize

    network = reparametrize(trained_sll()).freeze()
    (block,) = (b for b in network.blocks if isinstance(b, ConvEquilibrium))
    pixels = block.torus.pixels
    rows = []
    for method in ("analytic", "structured"):
        seconds, claimed, lip, peak = _alone(_solve, block, method)
        name = f"LBEN, {block.n * pixels:,} states"
        rows.append(
            _row(name, block.n, method, claimed, lip, seconds, None, f"{peak / 2**30:.2f} GiB")
        )
    return rows


def _solve(block: Any, method: str) -> tuple[float | None, str]:
    return _proven(block, Search(method))


def _proven(block: Any, search: Search) -> tuple[float | None, str]:
    """What the solver claims, and the proven L."""
    try:
        proof = prove_equilibrium(block, search=search)
    except CertlipError as error:
        return None, f"none ({error})"
    return proof.claimed, str(proof.lip)


def _best(
    work: Callable[[], tuple[float | None, str]], repeats: int
) -> tuple[float, float | None, str, float]:
    fastest = float("inf")
    result: tuple[float | None, str] = (None, "")
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, result[0], result[1], 0.0


def _alone(
    work: Callable[..., tuple[float | None, str]], *arguments: Any
) -> tuple[float, float | None, str, float]:
    """Seconds, result, and bytes that the peak of a process of its own is above where it began."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_watched, (work, arguments))


def _watched(work: Callable[..., tuple[float | None, str]], arguments: tuple):
    work_once = random_deq(20)  # libraries are loaded before memory is looked at
    _proven(work_once, Search("structured"))
    CLEAR.write_text("5")  # the peak counts from here on
    before = _peak()
    start = time.perf_counter()
    claimed, lip = work(*arguments)
    seconds = time.perf_counter() - start
    return seconds, claimed, lip, _peak() - before


def _peak() -> float:
    """Bytes that the process has had in memory at most since the last reset (Linux)."""
    (line,) = (x for x in STATUS.read_text("ascii").splitlines() if x.startswith("VmHWM:"))
    return 1024.0 * float(line.split()[1])


def _row(
    model: str,
    n: int,
    method: str,
    claimed: float | None,
    lip: str,
    seconds: float,
    ours: float | None,
    peak: str = "",
) -> list[str]:
    estimate = "" if claimed is None else f"{claimed:.7g}"
    shown = f"{float(lip):.7g}" if lip.replace(".", "").replace("e-", "").isdigit() else lip
    ratio = "" if ours is None else f"{seconds / ours:.1f}"
    return [model, f"{n:,}", method, estimate, shown, f"{seconds:.2f}", ratio, peak]
