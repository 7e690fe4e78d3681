"""How one of several processes ends: it reports why it failed, or finds out why another one did, and exits."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from torch.distributed import DistError

from vclr.engine.causes import Causes
from vclr.engine.launched import Place
from vclr.errors import UsageError, UserError, explain

LOST = "another process of this training ended"
FIND_SECONDS = 2.0  # NCCL may close its connections before the failing process has reported why

# Messages of gloo, NCCL and torch's store when the process at the other end is gone.
LOSS = re.compile(
    r"connection (closed|reset) by (remote )?peer|broken pipe|connection was likely closed|remote process exit"
    r"|ncclRemoteError",
    re.IGNORECASE,
)
# Marks the errors of gloo, which are plain RuntimeErrors.
GLOO = re.compile(r"\bgloo[/:]|^gloo\b", re.IGNORECASE)

_causes: Causes | None = None  # None: this process is alone
_failure_records: list[Callable[[], None]] = []


class SharedEndError(UserError):
    """Report an end whose cause lies in another process or is shared by all."""


class LostProcessError(SharedEndError):
    """Report that another process of the training ended.

    Attributes:
        cause: which process it was and why it ended; "" if it could not report that.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause or LOST)
        self.cause = cause


class CollectiveError(UserError):
    """Report any error of NCCL or gloo other than the loss of a process."""


@contextmanager
def telling_others(place: Place) -> Iterator[None]:
    """Tell the other processes if this one fails in the block, and learn if another one does.

    Every process enters the block. Within it, `naming_causes` reports failures.
    """
    global _causes
    _causes = causes = Causes(place, _leave_stuck)
    with naming_causes():
        yield
    causes.stop()
    _causes = None


@contextmanager
def naming_causes() -> Iterator[None]:
    """Report an error in the block to the other processes; if another one caused it, raise that cause instead.

    Use it inside the blocks that close logs and trackers: these then record the cause, and the others learn of it
    before closing, which may take a while.

    Raises:
        LostProcessError: another process ended, which showed as an error of NCCL, gloo or the store.
        CollectiveError: any other error of these.
    """
    try:
        yield
    except BaseException as error:
        if _causes is None:
            raise
        _ignore_launcher()
        if _causes.is_over:
            raise
        failure = _understand(error, _causes)
        if not isinstance(failure, SystemExit):
            _causes.may_say()  # not after `stop`: the first process may then leave, and the store with it
        _causes.stop()
        if not isinstance(failure, (LostProcessError, SystemExit)):
            _causes.report(describe(failure)[0])
        if failure is error:
            raise
        raise failure from None


@contextmanager
def recording_failure(record: Callable[[], None]) -> Iterator[None]:
    """During the block, let a process that leaves without closing anything, because it is stuck, call `record`."""
    _failure_records.append(record)
    try:
        yield
    finally:
        _failure_records.remove(record)


@contextmanager
def leaving_at_once(has_own_log: bool = False) -> Iterator[None]:
    """If the block fails in one of several processes, print a line (for a defect also a traceback) and exit.

    The exit skips Python's own: taking a process group down may wait for processes that are gone or that wait for this
    one. Worker processes end with it (vclr/data/workers.py). If the process is alone, the error goes to the caller.

    Args:
        has_own_log: the output of this process is apart from that of the others on this machine, so it always prints.
    """
    try:
        yield
    except BaseException as error:
        if _causes is None:
            raise
        message, exit_code = describe(error)
        try:
            if not isinstance(error, SystemExit) and (_causes.may_say() or has_own_log):
                if explain(error) is None:
                    traceback.print_exception(error)
                print(f"vclr: {message}", file=sys.stderr)
        finally:  # even if nobody reads the output any more
            leave(exit_code)


def leave(exit_code: int) -> NoReturn:
    """Flush all output and end the process now."""
    try:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(exit_code)


def describe(error: BaseException) -> tuple[str, int]:
    """Return one line on what went wrong and in which process, and the exit code."""
    if isinstance(error, SystemExit):
        return "", error.code if isinstance(error.code, int) else 1
    message, exit_code = explain(error) or (_name_defect(error), 1)
    # These are the same in all processes.
    is_shared = isinstance(error, (UsageError, SharedEndError, FloatingPointError, KeyboardInterrupt))
    return message if _causes is None or is_shared else f"{_causes.name}: {message}", exit_code


def name_collective(error: BaseException) -> CollectiveError:
    """Return an error of NCCL, gloo or the store in one line; their advice is in the lines after the first."""
    return CollectiveError(" ".join(str(error).split()))


def _ignore_launcher() -> None:
    """Ignore SIGTERM from now on: torchrun sends it to all that remain, and this one still has a cause to report."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _understand(error: BaseException, causes: Causes) -> BaseException:
    """Return the error to raise: the cause behind an error of NCCL, gloo or the store; any other error itself."""
    if not _is_of_collective(error):
        return error
    is_loss = bool(LOSS.search(str(error)))
    cause = causes.find(FIND_SECONDS if is_loss else 0.0)
    return LostProcessError(cause) if cause or is_loss else name_collective(error)


def _is_of_collective(error: BaseException) -> bool:
    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and bool(GLOO.search(str(error))))


def _name_defect(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    # Torch puts the error of a loader's worker, with its traceback, into the message of its own error.
    _, is_of_worker, of_worker = str(error).partition("Original Traceback")
    named = re.findall(r"^\w[\w.]*: .*", of_worker, re.MULTILINE)
    if is_of_worker and named:
        return str(named[-1])
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _leave_stuck(cause: str) -> NoReturn:
    """End a process that still waits for one that has failed."""
    record = logging.makeLogRecord({"msg": f"training stopped: {cause}", "levelname": "ERROR"})
    try:
        for handler in logging.getLogger("vclr").handlers:  # the log of the run folder
            handler.handle(record)
        for record_failure in _failure_records:
            record_failure()
        if _causes and _causes.may_say():
            print(f"vclr: {cause}", file=sys.stderr)
    finally:
        leave(1)
