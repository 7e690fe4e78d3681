"""Locks and interrupts of Snakemake's main process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import psutil

from vclr.file_lock import try_lock

LOCK = Path(".snakemake/main_process.lock")
LOCKS = Path(".snakemake/locks")  # Snakemake's own, which remain if it is killed

_held: list[BinaryIO] = []  # open until this process ends, so that its lock is held


def release_dead_locks() -> None:
    """Remove the locks of a Snakemake that was killed, as `snakemake --unlock` does.

    A lock of our own, which ends with the process, tells whether it is dead. On file systems without locks nothing
    happens.
    """
    LOCK.parent.mkdir(exist_ok=True)
    file = LOCK.open("ab")
    if not try_lock(file):  # another main process is alive, or nobody can tell
        file.close()
        return
    _held.append(file)
    for lock in LOCKS.glob("*.lock"):
        lock.unlink()


def pass_on_interrupts() -> None:
    """Pass an interrupt that only this process receives on to its local jobs, as Ctrl-C in a terminal would."""

    def interrupt(number: int, frame: FrameType | None) -> Any:
        for child in psutil.Process().children(recursive=True):
            try:
                if os.getpgid(child.pid) == os.getpgid(0):
                    child.send_signal(number)
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
