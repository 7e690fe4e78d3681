"""Errors that are the user's to mend: one line, no traceback."""


class UserError(Exception):
    """Report bad input (data, files, weights) in one line; `vclr` exits with 1."""

    exit_code = 1


class UsageError(UserError):
    """Report a misuse of a command or a setting in one line; `vclr` exits with 2."""

    exit_code = 2
