"""Whether an output can be written, asked before the work that makes it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from vclr.errors import UserError


def check_writable(path: str | Path) -> None:
    """Find out that a file or folder cannot be made before the long work that fills it, and leave no trace.

    Raises:
        UserError: the folder in which it would be does not take files; names `path` and why.
    """
    folder = Path(path)
    while not folder.is_dir():
        if folder.exists() and folder != Path(path):
            raise UserError(f"{path}: cannot be written: {folder} is not a folder")
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {folder}: {error.strerror}") from None
