"""How the processes of a training find each other: through a store of the first process or of torchrun."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from datetime import timedelta

from torch.distributed import DistError, PrefixStore, TCPStore  # type: ignore[attr-defined]  # documented, not typed

from vclr.engine.launched import Place
from vclr.errors import UserError

log = logging.getLogger("vclr.train")

# One launcher starts all processes: they join within seconds, or minutes on a large cluster with slow disks.
JOIN_SECONDS = 300.0
NOTICE_SECONDS = 10.0  # after which a process says what it waits for
LOOK_SECONDS = 0.1
JOINED = "joined"


def meet(place: Place) -> PrefixStore:
    """Return the store of all processes once each of them has joined.

    Raises:
        UserError: one did not join in time, or the first one cannot listen at the address in the environment.
    """
    meeting = _Meeting(place)
    notice = threading.Timer(NOTICE_SECONDS, meeting.say)
    notice.daemon = True
    notice.start()
    try:
        return meeting.wait()
    finally:
        notice.cancel()


class _Meeting:
    """One process's wait for the others.

    Attributes:
        num_joined: how many processes are known to have joined.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.num_joined = place, 1
        self._address, self._port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self._end = time.monotonic() + JOIN_SECONDS
        # torchrun has its own store and keeps it when it restarts the processes.
        self._is_of_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        self._attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")

    def wait(self) -> PrefixStore:
        is_server = self.place.rank == 0 and not self._is_of_torchrun
        while not is_server and not self._is_open():
            self._sleep()
        left = timedelta(seconds=max(1.0, self._end - time.monotonic()))
        try:
            store = TCPStore(
                self._address, self._port, None, is_server, left, wait_for_workers=False, multi_tenant=True
            )
            shared = PrefixStore(f"vclr/group/{self._attempt}", store)
            self.num_joined = shared.add(JOINED, 1)
            while self.num_joined < self.place.world_size:
                self._sleep()
                self.num_joined = shared.add(JOINED, 0)
        except DistError as error:
            said = " ".join(str(error).split())
            raise UserError(f"{self._where()}: no store of a training can be reached there: {said}") from None
        return shared

    def say(self) -> None:
        """Say what this process waits for; if the first one is missing, only one process per machine says so."""
        if self.place.rank == 0 or (self.num_joined == 1 and self.place.local_rank == 0):
            log.warning("waiting for %s", self._awaited())

    def _is_open(self) -> bool:
        try:
            socket.create_connection((self._address, self._port), timeout=2.0).close()
        except OSError:  # including a name that cannot be resolved yet
            return False
        return True

    def _sleep(self) -> None:
        if time.monotonic() > self._end:
            minutes = JOIN_SECONDS / 60
            raise UserError(f"waited {minutes:g} minutes for {self._awaited()}; unset WORLD_SIZE to run alone")
        time.sleep(LOOK_SECONDS)

    def _awaited(self) -> str:
        missing, size = self.place.world_size - self.num_joined, self.place.world_size
        whom = f"{missing} of {size} processes" if self.place.rank == 0 or self.num_joined > 1 else "the first process"
        return f"{whom} at {self._where()} (WORLD_SIZE, MASTER_ADDR of the environment)"

    def _where(self) -> str:
        return f"{self._address}:{self._port}"
