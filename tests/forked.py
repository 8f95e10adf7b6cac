"""Work in a process of its own, which may be killed."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

import torch


def start(work: Callable[[], object]) -> int:
    """The process that does the work, on one thread; it ends with 0, or 1 if the work raises."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        torch.set_num_threads(1)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def end(child: int) -> int:
    """Waits for it: its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
