"""Write COCO results as they come, so that they never are in memory all at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vclr.coco.checks import Json
from vclr.files import atomic_path

Write = Callable[[int | str, list[Json]], None]


@contextmanager
def writing_results(path: Path) -> Iterator[Write]:
    """Yield a function that adds the results for an image; the file is the one that `write_json` writes of all."""
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write("[")
        yield _appending(file)
        file.write("]\n")


@contextmanager
def writing_part(path: Path) -> Iterator[Write]:
    """Yield a function that adds the results for an image to a part for `join_parts`, which is not json by itself."""
    with open(path, "w", encoding="utf-8") as file:
        yield _appending(file)


def join_parts(parts: list[Path], path: Path) -> None:
    """Write the file that `writing_results` would have written with the results of all parts."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        separator = b"["
        for part in parts:
            if part.stat().st_size:
                file.write(separator)
                separator = b", "
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, file)
        file.write(b"]\n" if separator == b", " else b"[]\n")


def _appending(file: IO[str]) -> Write:
    separator = ""

    def append(_: int | str, results: list[Json]) -> None:
        nonlocal separator
        if results:
            file.write(separator + json.dumps(results)[1:-1])
            separator = ", "

    return append
