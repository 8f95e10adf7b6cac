"""Runs the benchmarks by name, all by default, and prints a Markdown table of each."""

from __future__ import annotations

import importlib
import platform
import sys

import numpy as np
import torch

import certlip

NAMES = ("prove", "solve", "certify", "falsify", "sll", "twin", "interval", "training")


def main(names: list[str]) -> None:
    print(
        f"certlip {certlip.__version__}, torch {torch.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}, {torch.get_num_threads()} threads, "
        f"{platform.machine()}\n"
    )
    for name in names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"## {name}\n\n{(module.__doc__ or '').strip()}\n")
        rows = module.run()
        print("| " + " | ".join(rows[0]) + " |")
        print("|" + "---|" * len(rows[0]))
        for row in rows[1:]:
            print("| " + " | ".join(str(cell) for cell in row) + " |")
        print(flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
