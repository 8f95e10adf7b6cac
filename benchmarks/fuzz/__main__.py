"""Rounds over all families in turn until enough (sample, ε) pairs were attacked; 5 on a break."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fuzz.log import Log
from benchmarks.fuzz.rounds import FAMILIES, play
from certlip.errors import InputError, UnsoundError


def main(arguments: Sequence[str] | None = None) -> int:
    """The same options give the same rounds, on any machine up to its rounding.

    Raises:
        InputError: a family of another name, or a folder with a run of other settings.
    """
    options = _options(arguments)
    names = options.families.split(",") if options.families else list(FAMILIES)
    for name in names:
        if name not in FAMILIES:
            raise InputError(f"--families {name}: expected some of {', '.join(FAMILIES)}")
    settings = {name: getattr(options, name) for name in ("seed", "steps", "restarts")}
    log = Log(options.out, settings)
    numbers = itertools.count() if options.round is None else [options.round]
    for number in numbers:
        if options.round is None and log.pairs >= options.pairs:
            break
        for name in names:
            if log.has(name, number):
                continue
            again = (
                f"again: python -m benchmarks.fuzz --families {name} --round {number} --seed "
                f"{options.seed} --steps {options.steps} --restarts {options.restarts} --out ANOTHER"
            )
            try:
                done, case, broken = play(name, number, **settings)
            except Exception as error:  # a bug too, of another kind
                error.add_note(again)
                raise
            log.add(done)
            if broken and case is not None:
                where = log.keep(done, case, broken)
                print(f"UNSOUND: {len(broken)} of {done.pairs} pairs of {name}: {where}\n{again}")
                return UnsoundError.exit_code
        print(
            f"{number + 1} rounds of every family: {log.pairs:,} pairs", file=sys.stderr, flush=True
        )
    for row in log.table():
        print("| " + " | ".join(row) + " |")
        if row[0] == "family":
            print("|---|" + "---:|" * (len(row) - 1))
    return UnsoundError.exit_code if any(done.broken for done in log.rounds) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000, help="(sample, ε) pairs to attack")
    parser.add_argument("--families", default="", help="names, separated by commas; all by default")
    parser.add_argument("--round", type=int, help="this round alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=8, help="of every attack")
    parser.add_argument("--restarts", type=int, default=2, help="of every attack")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/fuzz"), help="goes on with the run there"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
