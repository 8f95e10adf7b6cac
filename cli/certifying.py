"""One certification run, as `certify` and `demo` both do it: prove, enclose, attack, gates,
files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certlip.errors import InputError, UnsoundError

from .session import Session

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.certify import Eps, Falsification, Radii
    from certlip.data import Dataset
    from certlip.lmi.search import Search


@dataclass(frozen=True)
class Gate:
    """Certified accuracy at ε must be at least `threshold`."""

    text: str
    eps: Eps
    threshold: float


@dataclass(frozen=True)
class Run:
    """The result of a run as documents, and its exit code."""

    document: dict[str, Any]
    samples: list[dict[str, Any]]
    code: int


def parse_gates(text: str | None) -> list[Gate]:
    """`--fail-under "36/255=0.55,1=0.1"`.

    Raises:
        InputError: not of that form, or a threshold outside [0, 1].
    """
    from certlip.certify import parse_eps

    gates = []
    for part in [] if text is None else text.split(","):
        eps, equals, number = part.partition("=")
        try:
            threshold = float(number)
        except ValueError:
            threshold = float("nan")
        if not equals or not 0.0 <= threshold <= 1.0:
            raise InputError(f"--fail-under {part!r}: expected EPS=SHARE, such as 36/255=0.55")
        [parsed] = parse_eps(eps.strip())
        gates.append(Gate(f"certified_accuracy@{parsed.text} >= {threshold!r}", parsed, threshold))
    return gates


def certify_run(
    session: Session,
    network: Network,
    model_path: str,
    data: Dataset,
    eps: Sequence[Eps],
    *,
    gates: Sequence[Gate] = (),
    search: Search | None = None,
    limit: int | None = None,
    attacked: int = 16,
    steps: int = 20,
    restarts: int = 2,
    report: Path | None = None,
    certificate: Path | None = None,
    compare: Sequence[tuple[str, dict[str, Any], list[dict[str, Any]]]] = (),
) -> Run:
    """Proves the network, certifies the samples, attacks some of them, and writes what is asked for.

    Raises:
        RejectedError, InconclusiveError: no bound could be proven; then nothing is certified.
        UnsupportedError: a certificate is asked for that its format does not cover.
        InputError: data that does not fit the model.
    """
    from certlip.certificate import claims_of, require_covered, write_certificate
    from certlip.certify import certify, certify_document, sample_rows
    from certlip.lmi import prove

    if data.classes > network.classes:
        raise InputError(
            f"{data.name} has {data.classes} classes, the model {network.classes} logits"
        )
    if certificate is not None:
        require_covered(network)
    start = time.perf_counter()
    with session.console.status("proving the Lipschitz bound"):
        proof = prove(network, search=search)
    proved = time.perf_counter()
    with session.progress() as bar:
        task = bar.add_task("certifying", total=len(data), note="")
        radii = certify(
            network,
            proof,
            data.x,
            data.label,
            device=session.device,
            keep_states=certificate is not None,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    seconds = time.perf_counter() - proved
    session.detail(f"proof {proved - start:.2f} s, certification {seconds:.2f} s")
    falsification = None
    if attacked:
        falsification = _attack(session, network, proof, data, radii, attacked, steps, restarts)
    verdicts, code = _judge(radii, gates)
    if falsification is not None and falsification.broken:
        code = UnsoundError.exit_code
    document = certify_document(
        network,
        proof,
        radii,
        eps=eps,
        model_path=model_path,
        data={
            "name": data.name,
            "split": data.split,
            "n": len(data),
            "sha256": data.sha256(),
            "shape": list(data.shape),
        },
        settings={
            "seed": session.seed,
            "device": session.device,
            "dtype": "float64",
            "semantics": "real",
            "norm": "l2",
            "method": "auto" if search is None else search.method,
            "dataset": data.name,
            "split": data.split,
            "limit": limit,
            "falsify": attacked,
        },
        seconds=seconds,
        falsification=falsification,
        gates=verdicts,
        exit_code=code,
    )
    samples = sample_rows(radii)
    if certificate is not None and code != UnsoundError.exit_code:
        write_certificate(
            certificate, network, proof.blocks, str(proof.lip), claims_of(radii, data, eps)
        )
    if report is not None:
        _write_report(report, document, samples, falsification, compare)
    return Run(document, samples, code)


def _attack(
    session: Session,
    network: Network,
    proof: Any,
    data: Dataset,
    radii: Radii,
    attacked: int,
    steps: int,
    restarts: int,
) -> Falsification:
    """Attacks certified samples spread over the data, each at its own certified radius."""
    import numpy as np

    from certlip.certify import Status, falsify

    certified = np.flatnonzero(radii.status == Status.CERTIFIED)
    if len(certified) > attacked:
        certified = certified[np.linspace(0, len(certified) - 1, attacked).astype(int)]
    with session.console.status(f"attacking {len(certified)} certified points"):
        found = falsify(
            network,
            proof,
            data.x[certified],
            radii.predicted[certified],
            radii.radius_lower[certified],
            steps=steps,
            restarts=restarts,
            seed=session.seed,
            device=session.device,
        )
    broken = tuple((int(certified[i]), x, d, c) for i, x, d, c in found.broken)
    for index, _, distance, other in broken:
        radii.status[index] = Status.FALSIFIED
        session.say(
            f"UNSOUND: sample {index} is class {other} at distance {distance!r}, inside its "
            f"certified radius {radii.radius_lower[index]!r}; please report this as a bug"
        )
    return type(found)(found.attacked, found.steps, found.restarts, broken)


def _judge(radii: Radii, gates: Sequence[Gate]) -> tuple[list[dict[str, Any]], int]:
    """The gates' verdicts; a gate that only undecided samples could save is inconclusive (3)."""
    from certlip.certify import Status

    rows, code = [], 0
    n = len(radii)
    for gate in gates:
        certified = int(radii.certified_at(gate.eps).sum())
        open_cases = sum(status in (Status.UNKNOWN, Status.ERROR) for status in radii.status)
        # the decimal that was written: the double nearest to 0.55 lies above 0.55
        needed = Fraction(repr(gate.threshold)) * n
        passed = certified >= needed
        rows.append({"expr": gate.text, "actual": certified / n, "passed": passed})
        if not passed:
            code = 1 if certified + open_cases < needed or code == 1 else 3
    return rows, code


def _write_report(
    folder: Path,
    document: dict[str, Any],
    samples: list[dict[str, Any]],
    falsification: Falsification | None,
    compare: Sequence[tuple[str, dict[str, Any], list[dict[str, Any]]]],
) -> None:
    import numpy as np

    from certlip.files import atomic
    from certlip.report import write

    write("json", folder / "report.json", document, samples)
    write("jsonl", folder / "results.jsonl", document, samples)
    write("html", folder / "report.html", document, samples, compare)
    if falsification is not None and falsification.broken:
        found = np.stack([x for _, x, _, _ in falsification.broken])
        index = np.array([i for i, _, _, _ in falsification.broken])

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, x=found, index=index)

        atomic(folder / "counterexamples.npz", save)
