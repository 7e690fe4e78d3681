"""A checkpoint in MLflow's store of artifacts: uploaded in parts that are retried one by one, joined and verified.

MLflow sends a file to a tracking server in one request, which starts anew after every failure. In parts, only the part
that failed is sent again, and an upload that was killed continues where it stopped, whatever the store is.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from vclr.errors import UserError, first_line
from vclr.files import atomic_path
from vclr.tracking.checkpoint_pointer import CheckpointPointer

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARTS_FOLDER = "data/checkpoint"  # in the artifacts of a logged model; beside the pointer
# A server must have passed a part on to its store within the timeout of a request, 10 seconds.
PART_BYTES = 16 << 20
RETRY_WAITS = (1.0, 2.0, 4.0)  # seconds before the second, third and fourth attempt

Result = TypeVar("Result")
log = logging.getLogger("vclr.tracking")


def part_sizes(size: int, part_bytes: int) -> dict[str, int]:
    """Return the parts of a file of `size` bytes in order: name -> bytes."""
    return {
        f"{number:05d}.part": min(part_bytes, size - start) for number, start in enumerate(range(0, size, part_bytes))
    }


def upload_parts(client: MlflowClient, model_id: str, file: BinaryIO, size: int) -> int:
    """Upload the parts of an open file that the store does not hold yet.

    Returns:
        The size of a part in bytes; the last one may be smaller.

    Raises:
        UserError: the store does not hold all parts afterwards.
        Exception: MLflow's last error about a part, after several attempts.
    """
    sizes = part_sizes(size, PART_BYTES)
    held = _held_parts(client, model_id)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, length) in enumerate(sizes.items()):
            if held.get(name) == length:
                continue
            file.seek(number * PART_BYTES)
            part = Path(folder) / name
            part.write_bytes(file.read(length))
            _retry(partial(client.log_model_artifact, model_id, str(part), PARTS_FOLDER), name)
            part.unlink()
    held = _held_parts(client, model_id)
    if wrong := [name for name, length in sizes.items() if held.get(name, -1) not in (length, None)]:
        raise UserError(f"models:/{model_id}: the store does not hold {wrong[0]} of the checkpoint after its upload")
    return PART_BYTES


def join_parts(pointer: CheckpointPointer, fetch: Callable[[str], bytes], name: str) -> Path:
    """Return an uploaded checkpoint as a file of the cache, where it is kept under its sha256.

    Args:
        pointer: of the checkpoint, with `part_bytes`.
        fetch: returns the bytes of a part, given its name.
        name: what is joined, for errors.

    Raises:
        UserError: a part cannot be fetched, or together they are not the checkpoint.
    """
    assert pointer.part_bytes
    cached = cache_folder() / f"{pointer.sha256}.pt"
    if not pointer.complaint(cached):
        return cached
    with atomic_path(cached) as temporary:
        with temporary.open("wb") as joined:
            for part in part_sizes(pointer.bytes, pointer.part_bytes):
                try:
                    joined.write(_retry(partial(fetch, part), part))
                except Exception as error:
                    raise UserError(
                        f"{name}: {part} of the checkpoint cannot be fetched: {first_line(error)}"
                    ) from None
        if pointer.complaint(temporary):
            raise UserError(f"{name}: the uploaded checkpoint is damaged: its sha256 is not {pointer.sha256[:12]}...")
    return cached


def cache_folder() -> Path:
    """Return the folder of downloaded checkpoints: `vclr/checkpoints` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vclr" / "checkpoints"


def _held_parts(client: MlflowClient, model_id: str) -> dict[str, int | None]:
    """Return the parts in the store: name -> bytes, or None if the store does not tell."""
    files = _retry(partial(client.list_logged_model_artifacts, model_id, PARTS_FOLDER), PARTS_FOLDER)
    return {PurePosixPath(file.path).name: file.file_size for file in files if not file.is_dir}


def _retry(work: Callable[[], Result], name: str) -> Result:
    """Do something with the store; after an error, try again a few times."""
    for wait in RETRY_WAITS:
        try:
            return work()
        except Exception as error:
            log.debug("%s: %s; next attempt in %.0f s", name, first_line(error), wait)
            time.sleep(wait)
    return work()
