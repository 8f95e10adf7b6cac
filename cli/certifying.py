"""One certification run, as `certify` and `demo` both do it: prove, certify, attack, gates, files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certlip.errors import InputError, UnsoundError

from . import run_folder
from .falsifying import USUAL, attack_rows
from .gates import Gate, judge
from .measured import Measured, Subject
from .ranks import Several, ranks
from .session import Session
from .sharing import Share
from .streaming import certify_rest, stream_to
from .writing import write_certificate, write_report

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.certification import Eps, Falsification
    from certlip.data import Dataset
    from certlip.lmi.search import Search
    from certlip.report import ResultsFile


@dataclass(frozen=True)
class Run:
    """The result of a run as a document and rows, and its exit code."""

    document: dict[str, Any]
    samples: ResultsFile
    code: int


def certify_run(
    session: Session,
    network: Network,
    model_path: str,
    data: Dataset,
    eps: Sequence[Eps],
    *,
    norms: Sequence[str] = ("l2",),
    eps_linf: Sequence[Eps] = (),
    boxes: str = "interval",
    gates: Sequence[Gate] = (),
    search: Search | None = None,
    semantics: str = "real",
    limit: int | None = None,
    attacked: int = 16,
    attacks: Sequence[str] = tuple(USUAL.split(",")),
    steps: int = 20,
    restarts: int = 2,
    report: Path | None = None,
    certificate: Path | None = None,
    resume: bool = False,
    compare: Sequence[tuple[str, dict[str, Any], ResultsFile]] = (),
) -> Run:
    """Proves the network, certifies the samples, attacks some of them, and writes what is asked for.

    With `report` the rows are in its folder as soon as a batch is certified, and `resume` goes on with
    the run there. What comes after the last row is done again: it depends on the rows alone.
    Several processes share the rows; rank 0 does the rest, and all have the same document.
    ε and gates are of the first of the norms, `eps_linf` of the ℓ∞ norm if it is one of them.

    Raises:
        RejectedError, InconclusiveError: no bound could be proven; then nothing is certified.
        UnsupportedError: a certificate is asked for that its format does not cover.
        InputError: data that does not fit the model, or a folder with a run of other settings.
    """
    from certlip.api.certified import proven
    from certlip.api.samples import described
    from certlip.certificate import require_covered
    from certlip.certification import (
        Certifier,
        LinfPart,
        Status,
        Tally,
        certify_document,
        check_samples,
        state_blocks,
    )
    from certlip.report import ResultsFile

    if data.classes > network.classes:
        raise InputError(
            f"{data.name} has {data.classes} classes, the model {network.classes} logits"
        )
    check_samples(network, data.rows(slice(1)), data.label[:1])
    crew = ranks()
    if isinstance(crew, Several) and report is None:
        raise InputError("several processes: expected --report DIR, where they leave their rows")
    if certificate is not None:
        require_covered(network)
    entry = described(data)
    settings = {
        "seed": session.seed,
        "device": session.device,
        "dtype": "float64",
        "semantics": semantics,
        "norm": ",".join(norms),
        **({"boxes": boxes} if "linf" in norms else {}),
        "method": "auto" if search is None else search.method,
        "dataset": data.name,
        "split": data.split,
        "limit": limit,
        "falsify": attacked,
    }
    own = run_folder.manifest(
        network,
        entry,
        {
            **settings,
            "solver": None if search is None else search.solver,
            "eps": [e.text for e in eps],
            "eps_linf": [e.text for e in eps_linf],
            "attacks": list(attacks),
            "steps": steps,
            "restarts": restarts,
            "gates": [gate.text for gate in gates],
            "certificate": certificate is not None,
        },
        session.device,
    )
    every = [*eps, *(e for gate in gates for e in gate.eps)]
    # what gates are about is tried exactly, like what is asked for
    every_linf = [*(every if norms[0] == "linf" else eps_linf)]
    every_linf += [e for gate in gates for e in gate.eps_linf]
    for gate in gates:
        gate.require_norms(norms)
        gate.require_comparable(Subject.of(own["data"], own["settings"]))
    run_folder.require_equal("rank 0", crew.from_first(own), own)
    proof = None
    start = time.perf_counter()
    if crew.first:
        if report is not None and resume:
            run_folder.require_same(report, own)
        with session.console.status("proving the Lipschitz bound"):
            proof = proven(network, search, certificate is not None)
        own["proof"] = run_folder.proof_entry(proof)
        if report is not None and resume:
            run_folder.require_same(report, own)
    proof = crew.from_first(proof)
    proved = time.perf_counter()
    certifier = Certifier(
        network,
        proof,
        device=session.device,
        semantics=semantics,
        norms=norms,
        eps_linf=every_linf,
        boxes=boxes,
    )
    built = time.perf_counter() - proved
    blocks = [] if certificate is None else state_blocks(network)
    share = None
    if isinstance(crew, Several) and report is not None:
        share = Share(session, crew, certifier, data, report, blocks)
    if share is not None and not crew.first:
        share.follow()
        document = crew.from_first(None)
        return Run(document, ResultsFile(None), document["exit_code"])
    with stream_to(session, data, report, own, resume=resume, blocks=blocks) as stream:
        if share is not None:
            share.lead(stream)
        certify_rest(session, certifier, data, stream)
        if data.sha256() != entry["sha256"]:  # a file that is mapped
            raise InputError(f"{data.name}: changed while it was certified; certify it again")
        seconds = built + stream.seconds
        session.detail(f"proof {proved - start:.2f} s, certification {seconds:.2f} s")
        counted = Tally.of(stream.rows, every, every_linf)
        found: dict[str, Falsification] = {}
        for norm in norms if attacked else ():
            found[norm] = attack_rows(
                *(session, network, proof, data, stream.rows, attacked, counted.with_radius),
                norm=norm,
                semantics=semantics,
                attacks=attacks,
                steps=steps,
                restarts=restarts,
            )
        if any(each.broken for each in found.values()):
            counted = Tally.of(stream.rows, every, every_linf)
        falsification = found.get(norms[0])
        verdicts, code = judge(Measured.of_run(counted, str(proof.lip)), gates)
        if counted.counts[Status.FALSIFIED]:
            code = UnsoundError.exit_code
        document = certify_document(
            network,
            proof,
            counted,
            eps=eps,
            model_path=model_path,
            data=entry,
            settings=settings,
            seconds=seconds,
            timed=stream.timed,
            falsification=falsification,
            gates=verdicts,
            exit_code=code,
            linf=None
            if certifier.linf is None
            else LinfPart(eps_linf, certifier.linf.reason, found.get("linf")),
        )
        if certificate is not None and code != UnsoundError.exit_code:
            write_certificate(certificate, network, proof, data, eps, stream)
        if report is not None:
            broken = [c for each in found.values() for c in each.broken]
            write_report(report, document, stream.rows, network, data, broken, compare)
        crew.from_first(document)
    return Run(document, stream.rows, code)
