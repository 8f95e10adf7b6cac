"""The time that a run may take, and when it saves in between."""

from __future__ import annotations

import time

from certlip.errors import InconclusiveError, InputError

SAVE_SECONDS = 300.0
"""A long epoch is saved this often, so that a kill costs minutes and not hours."""


class TimeLimitError(InconclusiveError):
    """The time was over before the last epoch; everything is saved."""


class Clock:
    """Runs from its construction.

    Args:
        minutes: The limit, > 0; None is no limit.

    Raises:
        InputError: another limit.
    """

    def __init__(self, minutes: float | None) -> None:
        if minutes is not None and not 0.0 < minutes < float("inf"):
            raise InputError(f"--max-minutes {minutes}: expected a number > 0")
        self.minutes, self._began = minutes, time.monotonic()
        self._last_save = self._began

    def over(self) -> bool:
        """Whether the time is over."""
        if self.minutes is None:
            return False
        return time.monotonic() - self._began >= 60.0 * self.minutes

    def save_is_due(self) -> bool:
        """Whether the last save was long ago."""
        return time.monotonic() - self._last_save >= SAVE_SECONDS

    def saved(self) -> None:
        """A checkpoint was written."""
        self._last_save = time.monotonic()

    def error(self, epoch: int, step: int, epochs: int, steps: int) -> TimeLimitError:
        """Says where the run stopped: after `step` of `steps` steps of the epoch behind `epoch` epochs."""
        return TimeLimitError(
            f"the time limit is over after {epoch} of {epochs} epochs and "
            f"{step} of {steps} steps of the next; all is saved, --resume goes on"
        )
