"""The errors that certlip raises on purpose, each with the exit code the command line gives it.

An error says in one line what was wrong: the file or argument, the value, and what was expected.
"""

from __future__ import annotations


class CertlipError(Exception):
    """Base of every deliberate error."""

    exit_code = 4


class InputError(CertlipError, ValueError):
    """Unusable input: a file, an option or an array that is not what was asked for. Exit 2."""

    exit_code = 2


class UnsupportedError(CertlipError):
    """A layer, operator or combination that certlip has no sound rule for. Exit 3."""

    exit_code = 3


class InconclusiveError(CertlipError):
    """Nothing was proven and nothing was refuted. Exit 3."""

    exit_code = 3


class RejectedError(CertlipError):
    """A claim that does not hold: a failed condition or a rejected certificate. Exit 1."""

    exit_code = 1


class UnsoundError(CertlipError):
    """A confirmed counterexample to something certlip had certified. Exit 5."""

    exit_code = 5
