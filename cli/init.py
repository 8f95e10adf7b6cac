"""`certlip init`: a commented settings file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from certlip.errors import InputError

from .config import OWN
from .options import check_writable
from .session import Session, command

CONTENT = """\
# Settings of certlip for this folder and those below. The command line and CERTLIP_… variables of the
# environment come first; `certlip COMMAND --print-config` shows what holds and where it comes from.
# Paths are relative to this file. Keys are the options of the commands, by their long names.

# For all commands:
# seed = 0
# device = "auto"        # auto, cpu, cuda or cuda:i
# threads = 2            # all by default
# data-dir = "data"      # where the files of datasets lie

# What certify has to reach (exit code 1 if it does not). ε is in raw input units, pixels in [0, 1].
# gates = [
#   "certified_accuracy@36/255 >= 0.55",
#   "natural_accuracy >= 0.9",
#   "lipschitz_upper <= 1.001",
#   "max_drop 0.01 vs baseline/report.json",
# ]

# For one command:
# [train]
# dataset = "digits"
# family = "sll"
# out = "runs/digits"

# [certify]
# model = "runs/digits/model.pt"
# dataset = "digits"
# eps = "36/255,72/255,108/255,1"
# report = "runs/digits/report"
"""


def init(
    session: Session,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path(OWN),
) -> int:
    """Write a commented settings file; one that exists is never replaced."""
    check_writable("--out", out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("x", encoding="utf-8") as stream:
            stream.write(CONTENT)
    except FileExistsError:
        raise InputError(f"{out}: exists; expected the name of a new file") from None
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror})") from None
    session.say(f"wrote {out}")
    session.emit({"schema": "certlip/init/1", "file": str(out), "exit_code": 0})
    return 0


def register(app: typer.Typer) -> None:
    command(app, "init")(init)
