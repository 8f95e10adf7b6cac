"""`certlip demo`: the whole story on embedded real data, in under two minutes on two cores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from certlip.errors import InconclusiveError, InputError, UnsoundError

from .options import EPS, check_writable
from .session import Session, command
from .watching import watch

if TYPE_CHECKING:
    from certlip.blocks import Network

    from .certifying import Run

SAME = 1e-10  # largest difference of logits that counts as the same function


def demo(
    session: Session,
    out: Annotated[Path, typer.Option("--out", help="Folder for what is written.")] = Path("demo"),
) -> int:
    """Train, reparametrize, fine-tune, prove, certify and re-check a model of handwritten digits."""
    from certlip import data
    from certlip.certification import parse_eps
    from certlip.report.html import require_packages
    from certlip.training import finetune, load_recipe, train

    from .certifying import certify_run

    check_writable("--out", out / "report" / "report.html")
    require_packages()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: exists and is not empty; expected a new folder")
    session.prepare_torch()
    start = time.perf_counter()
    recipe = load_recipe("digits-quick")
    splits = {name: data.load("digits", split=name) for name in ("train", "validation", "test")}
    test, eps = splits["test"], parse_eps(EPS)

    session.say("1. train an SLL network on handwritten digits")
    with watch(session, out / "sll", False) as callbacks:
        sll = train(
            recipe.family,
            recipe.model,
            splits["train"],
            splits["validation"],
            recipe.train.with_options(seed=session.seed),
            out / "sll",
            device=session.device,
            **callbacks,
        )
    session.say("2. certify it")
    before = certify_run(session, sll, str(out / "sll" / "model.pt"), test, eps)

    session.say("3. reparametrize it as one LBEN and fine-tune that")
    with watch(session, out / "lben", False) as callbacks:
        lben = finetune(
            sll,
            splits["train"],
            splits["validation"],
            recipe.finetune.with_options(seed=session.seed),
            out / "lben",
            device=session.device,
            **callbacks,
        )
    difference = _difference(sll, out / "lben" / "reparametrized.pt", test.x)
    session.say(f"   before fine-tuning its logits differ by at most {difference:.1e}")
    if not difference <= SAME:
        raise InconclusiveError(
            f"the reparametrized logits differ by {difference}: expected {SAME}"
        )

    session.say("4. prove and certify the LBEN, write its certificate and report")
    certificate = out / "lben.certlip"
    after = certify_run(
        session,
        lben,
        str(out / "lben" / "model.pt"),
        test,
        eps,
        attacked=32,
        report=out / "report",
        certificate=certificate,
        compare=[("SLL before fine-tuning", before.document, before.samples)],
    )
    code = max(before.code, after.code)
    verified = "not written: an attack broke a certified radius"
    if code != UnsoundError.exit_code:
        session.say("5. re-check the certificate with the independent checker")
        accepted, verified = _verify(certificate, lben)
        code = code or (0 if accepted else 1)
    seconds = time.perf_counter() - start
    session.say(_table(before, after))
    session.say(f"proven L of the LBEN: {after.document['lipschitz_upper']}")
    session.say(f"checker: {verified}")
    session.say(f"report: {out / 'report' / 'report.html'}   ({seconds:.0f} s)")
    session.emit(
        {
            "schema": "certlip/demo/1",
            "sll": before.document,
            "lben": after.document,
            "reparametrization_difference": difference,
            "checker": verified,
            "seconds": seconds,
            "exit_code": code,
        }
    )
    return code


def _difference(sll: Network, path: Path, x: Any) -> float:
    import torch

    from certlip.blocks import load
    from certlip.solvers import Evaluator

    rows = torch.from_numpy(x)
    with torch.no_grad():
        return float((Evaluator(sll)(rows) - Evaluator(load(path))(rows)).abs().max())


def _verify(certificate: Path, network: Network) -> tuple[bool, str]:
    from certlip.checker import check_certificate

    start = time.perf_counter()
    verdict = check_certificate(certificate, model_sha256=network.sha256())
    word = "accepted" if verdict.accepted else "REJECTED"
    return verdict.accepted, f"{word} in {time.perf_counter() - start:.2f} s ({verdict.reason})"


def _table(before: Run, after: Run) -> Table:
    table = Table("", "SLL", "fine-tuned LBEN", title="test accuracy, proven where ε > 0")
    rows = [("natural", before.document["natural_accuracy"], after.document["natural_accuracy"])]
    for eps, share in before.document["certified_accuracy"].items():
        rows.append((f"ε = {eps}", share, after.document["certified_accuracy"][eps]))
    for name, old, new in rows:
        table.add_row(name, f"{old:.4f}", f"{new:.4f}")
    return table


def register(app: typer.Typer) -> None:
    command(app, "demo")(demo)
