"""A partial download: its bytes in `<name>.partial`, and the ranges that have arrived in `<name>.partial.json`.

The json is written after the bytes that it names have reached the disk. A process that is killed at any moment, even by
a power cut, therefore leaves two files from which the next process resumes.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vclr.errors import UserError
from vclr.files import read_json, sync_folder, write_json


@dataclass
class Block:
    """Bytes `start` to `stop` of a file; those before `position` have arrived. If `stop` is None, to its end."""

    start: int
    stop: int | None
    position: int

    @property
    def is_done(self) -> bool:
        return self.stop is not None and self.position >= self.stop


class Partial:
    """A file of which some blocks have arrived. Several threads may write, each to its own block.

    Args:
        target: the name of the complete file.
        seconds_between_saves: how much of the download a power cut may cost.
    """

    def __init__(self, target: Path, seconds_between_saves: float = 1.0) -> None:
        self.target = target
        self.path, self.state_path = partial_paths(target)
        self.seconds_between_saves = seconds_between_saves
        self.writing, self.saving = threading.Lock(), threading.Lock()
        self.is_open = True
        self.saved_at = time.monotonic()
        self.blocks: list[Block] = []
        self.validator = ""  # identifies this version of the file: the ETag or the date of its last change
        self.url = ""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        state = _read_state(target)
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        if state is not None:
            self.blocks = [Block(*numbers) for numbers in state["blocks"]]
            self.validator, self.url = state["validator"], state["url"]

    @property
    def received(self) -> int:
        return sum(block.position - block.start for block in self.blocks)

    @property
    def total(self) -> int | None:
        """The size of the complete file, None if no server has told it."""
        return self.blocks[-1].stop if self.blocks else None

    @property
    def is_done(self) -> bool:
        return bool(self.blocks) and all(block.is_done for block in self.blocks)

    def begin(self, url: str, validator: str, total: int | None, num_blocks: int = 1) -> None:
        """Forget what has arrived and expect `total` bytes in blocks of equal size."""
        self.url, self.validator = url, validator
        edges = [number * (total or 0) // num_blocks for number in range(num_blocks + 1)]
        self.blocks = [Block(start, stop, start) for start, stop in zip(edges, edges[1:], strict=False)]
        if total is None:
            self.blocks = [Block(0, None, 0)]
        self.state_path.unlink(missing_ok=True)
        os.ftruncate(self.descriptor, 0)
        os.ftruncate(self.descriptor, total or 0)
        self.saved_at = time.monotonic()  # a small file is complete before anything needs to be saved

    def write(self, block: Block, data: bytes) -> None:
        """Write the next bytes of a block; leave out those beyond its end."""
        room = len(data) if block.stop is None else max(block.stop - block.position, 0)
        view = memoryview(data)[:room]
        with self.writing:
            if not self.is_open:  # this thread was waiting for bytes when the others gave up
                return
            try:
                while view:
                    written = os.pwrite(self.descriptor, view, block.position)
                    view, block.position = view[written:], block.position + written
            except OSError as error:
                error.filename = str(self.path)
                raise
        if time.monotonic() - self.saved_at > self.seconds_between_saves:
            self.saved_at = time.monotonic()
            self.save()

    def save(self) -> None:
        """Flush the bytes that have arrived to the disk, then write which ones they are."""
        with self.saving:
            if not self.is_open:
                return
            numbers = [[block.start, block.stop, block.position] for block in self.blocks]
            os.fsync(self.descriptor)
            write_json(self.state_path, {"url": self.url, "validator": self.validator, "blocks": numbers})
            self.saved_at = time.monotonic()

    def discard(self) -> None:
        """Forget what has arrived."""
        self.blocks = []
        os.ftruncate(self.descriptor, 0)
        self.state_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its final name, cut to the bytes that have arrived."""
        os.ftruncate(self.descriptor, self.received)
        os.fsync(self.descriptor)
        os.replace(self.path, self.target)
        sync_folder(self.target.parent)
        self.state_path.unlink(missing_ok=True)
        self.blocks = []

    def close(self) -> None:
        """Close the file; what has arrived stays for the next attempt."""
        if self.received:
            self.save()
        else:
            self.state_path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
        with self.writing, self.saving:
            self.is_open = False
            os.close(self.descriptor)


def received_bytes(target: Path) -> int:
    """Return how many bytes of a file an earlier download has left."""
    state = _read_state(target)
    return sum(position - start for start, _, position in state["blocks"]) if state else 0


def partial_paths(target: Path) -> tuple[Path, Path]:
    """Return the paths of the bytes and of the json."""
    return target.with_name(f"{target.name}.partial"), target.with_name(f"{target.name}.partial.json")


def _read_state(target: Path) -> dict[str, Any] | None:
    """Read the json and check it against the bytes; return None if they do not match."""
    path, state_path = partial_paths(target)
    try:
        state, size = read_json(state_path), path.stat().st_size
        place = 0
        for start, stop, position in state["blocks"]:
            if not (start == place and start <= position <= min(size, size if stop is None else stop)):
                return None
            place = stop
        is_whole = state["blocks"] and isinstance(state["validator"] + state["url"], str)
    except (UserError, OSError, KeyError, TypeError, ValueError):
        return None
    return state if is_whole else None
