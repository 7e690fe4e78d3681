"""How rules split a long task into several jobs and join their outputs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path


def list_parts(pattern: str | Path, count: int | str) -> list[str]:
    """List the outputs of the shards of a task; empty if one job does it all.

    Args:
        pattern: a path with {shard} and {shards}, as in the rule for a shard; other wildcards stay.
        count: number of shards; text if it comes from the command line.
    """
    if int(count) == 1:
        return []
    paths = [str(pattern).replace("{shards}", str(int(count)))] * int(count)
    return [path.replace("{shard}", str(number)) for number, path in enumerate(paths, start=1)]


def repeat(option: str, paths: Iterable[str]) -> str:
    """Repeat an option for each path, as words of a shell command."""
    return " ".join(f"{option} {shlex.quote(path)}" for path in paths)
