"""The processes that share one command, as `torchrun` starts them; without it, this one alone.

Objects go between them through gloo, which notices a process that is gone. What a process says when
it fails lies in the launcher's store, where the others look between two pieces of work.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from certlip.errors import CertlipError, InputError

from .session import Session

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
MEET = timedelta(minutes=5)
"""Time for all processes to start."""
WAIT = timedelta(days=30)
"""Time for one to wait for another that works: what ends a wait early is that it is gone."""
PART = timedelta(seconds=5)
"""Time for all to say that they failed, while rank 0 keeps the store."""
FAILED, SAID, PARTED = "failed", "said", "parted"


class PeerError(CertlipError):
    """Another process of the run failed, or went without a word; its exit code is this one's."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.exit_code = code


class Ranks:
    """A process that is alone, and what several of them do together."""

    rank, world = 0, 1

    @property
    def first(self) -> bool:
        """Whether this is the process that proves, prints and writes the report."""
        return self.rank == 0

    def check(self) -> None:
        """Raises `PeerError` if another process said that it failed."""

    def from_first(self, value: Any) -> Any:
        """What rank 0 gives as `value`, on all of them."""
        return value

    def to_first(self, value: Any) -> list[Any]:
        """On rank 0 what every rank gives, by rank; on the others nothing."""
        return [value]


class Several(Ranks):
    """One of several processes.

    Raises:
        InputError: they cannot find each other.
    """

    def __init__(self) -> None:
        import torch.distributed as dist
        from torch.distributed.rendezvous import rendezvous

        try:
            self._store, self.rank, self.world = next(rendezvous("env://", timeout=MEET))
            self._store.set(f"here{self.rank}", "")
            self._store.wait([f"here{k}" for k in range(self.world)], MEET)
            dist.init_process_group(*("gloo", None, WAIT, self.world, self.rank), store=self._store)
        except (RuntimeError, ValueError) as error:
            where = " ".join(f"{name}={os.environ[name]}" for name in VARIABLES)
            reason = str(error).splitlines()[0]
            raise InputError(f"{where}: the processes cannot find each other ({reason})") from None

    def check(self) -> None:
        try:
            failed = self._store.check([FAILED])
        except RuntimeError:
            raise self._lost() from None
        if failed:
            raise self._lost()

    def from_first(self, value: Any) -> Any:
        import torch.distributed as dist

        box = [value if self.first else None]
        self._together(lambda: dist.broadcast_object_list(box, 0))
        return box[0]

    def to_first(self, value: Any) -> list[Any]:
        import torch.distributed as dist

        boxes: list[Any] | None = [None] * self.world if self.first else None
        self._together(lambda: dist.gather_object(value, boxes, 0))
        return boxes or []

    def next(self, counter: str) -> int:
        """0, 1, 2, …: every number goes to one process."""
        try:
            return self._store.add(counter, 1) - 1
        except RuntimeError:
            raise self._lost() from None

    def fail(self, line: str, code: int) -> bool:
        """Tells the others, and returns whether this process is the first that says something."""
        try:
            if not self._store.check([FAILED]):
                self._store.set(FAILED, f"{code} {line}")
            says = self._store.add(SAID, 1) == 1
            self._store.set(f"{PARTED}{self.rank}", "")
            return says
        except RuntimeError:  # with rank 0 its store is gone
            return True

    def leave(self) -> None:
        """Waits for the others, then parts."""
        import torch.distributed as dist

        self._together(lambda: dist.barrier())
        dist.destroy_process_group()

    def abandon(self) -> None:
        """Parts after a failure: threads of the group that outlive the interpreter would abort it.

        Rank 0, whose store it is, goes last: one that fails by itself must see who said so.
        """
        import torch.distributed as dist

        with suppress(RuntimeError):
            if self.first:
                self._store.wait([f"{PARTED}{k}" for k in range(self.world)], PART)
        with suppress(RuntimeError):
            dist.destroy_process_group()

    def _together(self, work: Callable[[], object]) -> None:
        try:
            work()
        except RuntimeError:
            raise self._lost() from None

    def _lost(self) -> PeerError:
        try:
            if self._store.check([FAILED]):
                code, _, line = self._store.get(FAILED).decode().partition(" ")
                return PeerError(line, int(code))
        except RuntimeError:
            pass
        return PeerError("another process of this run is gone", CertlipError.exit_code)


_ranks: Ranks = Ranks()


def ranks() -> Ranks:
    """The processes of the command that runs."""
    return _ranks


def together(run: Callable[..., int]) -> Callable[..., int]:
    """A command that also runs as several processes: rank 0 prints, and all exit with one code.

    The first process that fails says why, with its rank; the others end with the same code.
    """

    @functools.wraps(run)
    def wrapper(session: Session, **options: Any) -> int:
        if any(name not in os.environ for name in VARIABLES) or os.environ["WORLD_SIZE"] == "1":
            return run(session, **options)
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a peer that is gone is one line
        global _ranks
        several = _ranks = Several()
        try:
            _prepare(session, several)
            code = run(session, **options)
            several.leave()
            return code
        except Exception as error:
            known = isinstance(error, CertlipError)
            line = str(error) if known else f"{type(error).__name__}: {error}"
            if not (several.first or isinstance(error, PeerError)):
                line = f"rank {several.rank}: {line}"
            code = error.exit_code if known else CertlipError.exit_code
            first = several.fail(line, code)
            several.abandon()
            if not first:
                return code
            raise (PeerError(line, code) if known else RuntimeError(line)) from error
        finally:
            _ranks = Ranks()

    return wrapper


def _prepare(session: Session, several: Several) -> None:
    """Every process of a machine takes a GPU of its own; all but rank 0 keep quiet."""
    import torch

    if torch.cuda.is_available() and session.device in ("auto", "cuda"):
        local = int(os.environ.get("LOCAL_RANK", several.rank))
        torch.cuda.set_device(local % torch.cuda.device_count())
    if not several.first:
        session.quiet = session.console.quiet = True
        session.json_output = session.verbose = False
