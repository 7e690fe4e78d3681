"""How an error names an option: `--tile 5` to whoever typed a command, `tile=5` to whoever called the function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_command: ContextVar[bool] = ContextVar("is_command", default=False)


@contextmanager
def of_the_command_line() -> Iterator[None]:
    """Let `option` name options as they are typed, in the block."""
    token = _is_command.set(True)
    try:
        yield
    finally:
        _is_command.reset(token)


def option(name: str, value: object = None) -> str:
    """Name an option that a function of the Python interface shares with its command.

    Args:
        name: the parameter of the function, for example `config_file`.
        value: what was given, or should be given; True for a flag, None to name the option alone.

    Returns:
        `--tile 5`, `--resume`, `--config-file`; or `tile=5`, `resume=True`, `config_file`.
    """
    said = f"{value:g}" if isinstance(value, float) else value
    if _is_command.get():
        typed = f"--{name.replace('_', '-')}"
        return typed if value is None or value is True else f"{typed} {said}"
    return name if value is None else f"{name}={repr(said) if isinstance(value, str) else said}"
