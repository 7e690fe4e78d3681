"""A lock on a file, held by one process at a time; the system releases it when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import BinaryIO

from vclr.errors import UserError

log = logging.getLogger("vclr.train")

# A process that was just killed, or its children, may hold its files a moment longer.
PATIENCE = 2.0  # seconds


def lock_file(path: Path, busy: str) -> BinaryIO:
    """Open a file, creating it if needed, and hold it locked until it is closed.

    Args:
        path: the file; nothing is written to it.
        busy: the error message if another process holds it.

    Raises:
        UserError: another process holds it.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            if time.monotonic() > deadline:
                raise UserError(busy) from None
            time.sleep(0.1)
            continue
        except OSError as error:
            log.warning("%s: the file system has no locks (%s); start one process here only", path, error.strerror)
            return file
        # Another process may have moved or removed the file between opening and locking.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()
