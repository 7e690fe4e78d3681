"""How rules share out a long work to several jobs, and join what these wrote."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def list_parts(pattern: str, count: int | str) -> list[str]:
    """List what the shards of a work write; nothing where one job does it all.

    Args:
        pattern: a path with {shard} and {shards}, as the rule that works on a shard has it; other wildcards stay.
        count: of shards; a word where it comes from the command line.
    """
    if int(count) == 1:
        return []
    paths = [pattern.replace("{shards}", str(int(count)))] * int(count)
    return [path.replace("{shard}", str(number)) for number, path in enumerate(paths, start=1)]


def repeat(option: str, paths: Iterable[str]) -> str:
    """Return an option once for each path, as words of a shell command."""
    return " ".join(f"{option} {shlex.quote(path)}" for path in paths)
