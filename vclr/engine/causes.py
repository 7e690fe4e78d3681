"""Share the cause of a failure among processes: the others would only see a closed connection, or nothing.

Causes are kept in the store through which torch's processes find each other. It belongs to the first process (or to
torchrun). If that process fails itself, it waits a moment until the others have read why.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # documented, not typed

from vclr.engine.launched import Place

T = TypeVar("T")

CONNECT_TIMEOUT = timedelta(minutes=5)  # with all processes of a large cluster at once
LISTEN_SECONDS = 0.5  # between two checks for a cause
HEAR_SECONDS = 5.0  # the first process waits this long for the others to read the cause
STUCK_SECONDS = 10.0  # a process may take this long to leave by itself once another one has failed
CAUSE = "cause"


class Causes:
    """One process's view of failures.

    A thread listens, because a process whose GPU waits for another one does not notice that it is gone: within a node,
    NCCL has no connection that would close.
    """

    def __init__(self, place: Place, when_stuck: Callable[[str], None]) -> None:
        """Connect to the store, and listen.

        If another process fails and `stop` is not called within `STUCK_SECONDS`, the listening thread calls
        `when_stuck` with the cause.
        """
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # A separate connection: that of the process group is blocked while a collective is set up.
        store = TCPStore(address, port, None, False, CONNECT_TIMEOUT, wait_for_workers=False)
        store.set_timeout(timedelta(seconds=HEAR_SECONDS))
        # torchrun keeps the store when it starts the processes again.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self._store = PrefixStore(f"vclr/{attempt}", store)
        self._place, self._host = place, platform.node()
        self._when_stuck = when_stuck
        self._cause = ""  # of another process, once it is known
        self._may_say: bool | None = None  # not asked yet
        self._is_over = threading.Event()
        threading.Thread(target=self._listen, name="causes", daemon=True).start()

    @property
    def name(self) -> str:
        """The name of this process in messages."""
        return f"process {self._place.rank} on {self._host}"

    def report(self, cause: str) -> None:
        """Tell the others why this process fails, unless another one failed first."""
        self.may_say()  # before the others can
        self._ask(lambda: self._store.compare_set(CAUSE, "", cause), b"")
        if self._place.rank == 0:
            _wait_until(self._have_others_heard, HEAR_SECONDS)

    def find(self, patience: float) -> str:
        """Return the cause from the process that failed first; "" if none is reported within `patience` seconds."""
        if not self._cause and _wait_until(self._is_reported, patience):
            cause = self._ask(lambda: self._store.get(CAUSE), b"").decode()
            self.may_say()
            self._cause = cause  # not before: the other thread may then leave at once
            self._acknowledge()  # not before: the first process then leaves, and the store with it
        return self._cause

    def may_say(self) -> bool:
        """Whether this process may tell the user: the first one on each machine that asks."""
        if self._may_say is None:
            rank = str(self._place.rank)
            sayer = self._ask(lambda: self._store.compare_set(f"said/{self._host}", "", rank), b"")
            self._may_say = sayer.decode() in (rank, "")
        return self._may_say

    @property
    def is_over(self) -> bool:
        """Whether this process is on its way out."""
        return self._is_over.is_set()

    def stop(self) -> None:
        """Stop listening: this process is on its way out, and nobody needs to wait for it."""
        self._is_over.set()
        self._acknowledge()

    def _listen(self) -> None:
        while not self._is_over.wait(LISTEN_SECONDS):
            if cause := self.find(0.0):
                if not self._is_over.wait(STUCK_SECONDS):
                    self._when_stuck(cause)
                return

    def _is_reported(self) -> bool:
        return self._ask(lambda: self._store.check([CAUSE]), False)

    def _acknowledge(self) -> None:
        self._ask(lambda: self._store.set(f"heard/{self._place.rank}", ""), None)

    def _have_others_heard(self) -> bool:
        heard = [f"heard/{rank}" for rank in range(1, self._place.world_size)]
        return self._ask(lambda: self._store.check(heard), True)

    def _ask(self, question: Callable[[], T], otherwise: T) -> T:
        """Ask the store; it is gone when the first process was killed."""
        try:
            return question()
        except RuntimeError:
            return otherwise


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition for some seconds; return whether it holds."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return holds
