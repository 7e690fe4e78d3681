"""A disk that is full for one process: no file of it grows beyond a size, until a test lifts the limit.

Unlike a small file system, this needs no rights of an administrator. What fails is a real write of a real process.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def full_disk(processes: Iterable[int], size: int) -> Iterator[None]:
    """Let writes beyond `size` bytes fail in processes, named by their ids, for the length of a block.

    SQLite says `disk I/O error` then, because the system says EFBIG in place of ENOSPC.
    """
    before = {process: resource.prlimit(process, resource.RLIMIT_FSIZE) for process in processes}
    for process, (_, hard) in before.items():
        resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        for process, limits in before.items():
            with suppress(ProcessLookupError):  # it has ended
                resource.prlimit(process, resource.RLIMIT_FSIZE, limits)
