"""A lock on a file, so that one process at a time does some work.

It is the kernel's (`flock`), which releases it when its process ends, however that happens, and which works on network
file systems that are mounted with locks. Libraries fall back to files that outlive a killed process.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from vclr.errors import UserError

log = logging.getLogger("vclr.file_lock")

# A process that was just killed, or its children, may hold its files a moment longer.
DEFAULT_TIMEOUT = 2.0  # seconds
PAUSE = 0.1  # seconds between two attempts


def lock_file(path: Path, busy: str, timeout: float | None = None) -> BinaryIO:
    """Open a file, creating it if necessary, and hold it locked until it is closed.

    Args:
        path: the file; nothing is written to it.
        busy: the error if another process still holds the lock after the timeout.
        timeout: seconds, `DEFAULT_TIMEOUT` if None.

    Raises:
        UserError: another process holds the lock.
    """
    deadline = time.monotonic() + (DEFAULT_TIMEOUT if timeout is None else timeout)
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
        except (FileNotFoundError, FileExistsError):  # another process may have just removed the folder
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)
            continue
        is_locked = try_lock(file)
        if is_locked is None:
            log.warning("%s: the file system has no locks; start only one process at a time here", path)
            return file
        # Another process may have moved or removed the file between opening and locking it.
        with suppress(FileNotFoundError):
            if is_locked and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()
        if not is_locked:
            if time.monotonic() > deadline:
                raise UserError(busy)
            time.sleep(PAUSE)


def try_lock(file: BinaryIO | int) -> bool | None:
    """Lock an open file (or folder, by its descriptor) if no other process holds its lock.

    Returns:
        Whether it is locked now; None if the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
