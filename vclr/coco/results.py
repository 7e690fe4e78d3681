"""Write COCO results as they come, so that they never are in memory all at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

from vclr.coco.checks import Json
from vclr.file_lock import lock_file
from vclr.files import atomic_path

Write = Callable[[int | str, list[Json]], None]


@contextmanager
def writing_results(path: Path) -> Iterator[Write]:
    """Yield a function that adds the results for an image; the file is the one that `write_json` writes of all."""
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as file:
        separator = "["

        def append(_: int | str, results: list[Json]) -> None:
            nonlocal separator
            if results:
                file.write(separator + json.dumps(results)[1:-1])
                separator = ", "

        yield append
        file.write("[]\n" if separator == "[" else "]\n")


class ResultsPart:
    """The results of one process in a file, image by image, so that a stopped evaluation can go on where it was.

    The first line of the file identifies the evaluation; each further line has the results for an image.

    Attributes:
        num_images: number of images in the file when it was opened.
    """

    def __init__(self, path: Path, identity: str, batch_size: int) -> None:
        """Open the file, and keep whole batches of what the same evaluation wrote to it; otherwise start anew.

        Args:
            path: the file, which need not exist.
            identity: a text that only the same evaluation has.
            batch_size: number of images per batch.
        """
        self._path, self._header = path, json.dumps(identity).encode() + b"\n"
        self._file = lock_part(path)
        try:
            self.num_images = self._recover(batch_size)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ResultsPart:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        has_results = self._file.tell() > len(self._header)
        self._file.close()
        if error and not has_results:
            self._path.unlink()

    def read(self) -> Iterator[list[Json]]:
        """Yield the results for each of the `num_images` images."""
        with open(self._path, "rb") as file:
            file.readline()
            for _ in range(self.num_images):
                yield json.loads(b"[%b]" % file.readline())

    def write(self, _: int | str, results: list[Json]) -> None:
        """Add the results for an image."""
        self._file.write(json.dumps(results)[1:-1].encode() + b"\n")
        self._file.flush()  # to the system, which keeps them even if this process is killed

    def _recover(self, batch_size: int) -> int:
        """Cut the file after its last whole batch; return the number of images before that."""
        with open(self._path, "rb") as file:
            is_same = file.readline() == self._header
            ends = [file.tell()]
            for line in file:
                if line.endswith(b"\n"):
                    ends.append(ends[-1] + len(line))
        if not is_same:
            self._file.truncate(0)
            self._file.write(self._header)
            self._file.flush()
            return 0
        num_images = (len(ends) - 1) // batch_size * batch_size
        self._file.truncate(ends[num_images])
        self._file.seek(0, SEEK_END)
        return num_images


def lock_part(path: Path) -> BinaryIO:
    """Open the file of a part, and hold it locked until it is closed.

    Raises:
        UserError: another process holds the lock.
    """
    return lock_file(path, f"{path.parent}: another process writes results here; wait until it has ended")


def join_parts(parts: list[Path], path: Path) -> None:
    """Write the file that `writing_results` would have written with the results of all parts."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        separator = b"["
        for part in parts:
            with open(part, "rb") as source:
                source.readline()
                for line in source:
                    if results := line.rstrip(b"\n"):
                        file.write(separator + results)
                        separator = b", "
        file.write(b"]\n" if separator == b", " else b"[]\n")
