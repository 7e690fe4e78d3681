"""Errors that are the user's to mend: one line, no traceback, and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Report bad input (data, files, weights) in one line; `vclr` exits with 1."""

    exit_code = 1


class UsageError(UserError):
    """Report a misuse of a command or a setting in one line; `vclr` exits with 2."""

    exit_code = 2


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the word most like a mistyped one."""
    return difflib.get_close_matches(word, list(words), n=1, cutoff=0.0)[0]


def explain(error: BaseException) -> tuple[str, int] | None:
    """Say in one line what went wrong, and what a process exits with; None for a defect, which shows its traceback."""
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, FloatingPointError):
        return str(error), 1
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename2 or error.filename}: {error.strerror}", 1
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    return None
