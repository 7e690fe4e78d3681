"""Worker processes of the loaders: they ignore signals meant for the training, and do not outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

from vclr.processes import end_with_parent

T = TypeVar("T")

# A cluster or a terminal sends these to every process of a job. The training answers them once everything is saved,
# for which it may still need its workers.
BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def start_workers(loader: Iterable[T]) -> Iterator[T]:
    """Return a loader's iterator. Its workers inherit the blocked signals, so none arrives before they are prepared."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_worker(_: int) -> None:
    """Set up the calling process as a loader's worker (`worker_init_fn`)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)  # first, because threads started below inherit it
    torch.set_num_threads(1)  # workers run in parallel; more threads in each would only get in the way
    if sys.platform == "linux":
        threading.Thread(target=_end_when_told, daemon=True).start()
        _end_with_training()
    else:  # the sender of a signal is unknown here, and the loader ends workers with this one
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_when_told() -> None:
    """End on the SIGTERM with which the loader ends a busy worker, and on nobody else's."""
    training = multiprocessing.parent_process()
    assert training is not None
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != training.pid:
        pass
    os._exit(0)


def _end_with_training() -> None:
    """Have the kernel kill this process when its parent dies; torch's workers check only every five seconds."""
    end_with_parent()
    training = multiprocessing.parent_process()
    assert training is not None
    # A fork server ends with the training by itself.
    if multiprocessing.get_start_method() == "fork" and os.getppid() != training.pid:
        os._exit(1)  # the parent died before the kernel was asked
