"""What happens to stores: a fixture that is one after the other, each a real server that fails when a test says so.

A conftest.py or a test module imports the fixture `faulty_store`, and what `tests.servers.fixtures` has for it.
"""

from __future__ import annotations

import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.servers.full_disk import full_disk
from tests.servers.proxy import Fault, Proxy
from tests.servers.tracking_server import TrackingServer

OLD_TOKEN, NEW_TOKEN = "a-token-that-expires", "the-token-that-follows"
TOKEN = "MLFLOW_TRACKING_TOKEN"


class FaultyStore(ABC):
    """A store that fails between `begin` and `end`.

    Attributes:
        uri: what a training is told to use.
        true_uri: the same store, past the proxy: what a test reads from.
    """

    def __init__(self, uri: str, true_uri: str) -> None:
        self.uri, self.true_uri = uri, true_uri

    @abstractmethod
    def begin(self) -> None:
        """Let the store fail from now on."""

    @abstractmethod
    def wait_until_met(self, timeout: float = 60.0) -> None:
        """Wait until a request has met the failure; fail if none does."""

    @abstractmethod
    def end(self) -> None:
        """Let the store work again, and wait until it does."""


class KilledServer(FaultyStore):
    """The server is killed, and started again at the same address."""

    def __init__(self, server: TrackingServer) -> None:
        super().__init__(server.uri, server.uri)
        self._server = server

    def begin(self) -> None:
        self._server.kill()

    def wait_until_met(self, timeout: float = 60.0) -> None:
        time.sleep(3)  # nobody is there to count

    def end(self) -> None:
        self._server.start()


class FaultyProxy(FaultyStore):
    """Something between training and server fails."""

    def __init__(self, server: TrackingServer, proxy: Proxy, fault: Fault) -> None:
        super().__init__(proxy.uri, server.uri)
        self._proxy, self._fault = proxy, fault

    def begin(self) -> None:
        self._proxy.fault = self._fault

    def wait_until_met(self, timeout: float = 60.0) -> None:
        self._proxy.wait_for(self._fault.value, timeout=timeout)
        if self._fault is Fault.STALL:
            time.sleep(self._proxy.stall_seconds)

    def end(self) -> None:
        self._proxy.fault = Fault.NONE


class ExpiredToken(FaultyStore):
    """The server takes another token from `begin` on. From `end` on, the environment of the tests has that one.

    A process that a test started earlier does not see it; what it leaves undone is left to `vclr track sync`.
    """

    def __init__(self, server: TrackingServer, proxy: Proxy) -> None:
        super().__init__(proxy.uri, server.uri)
        self._proxy = proxy
        proxy.token = os.environ[TOKEN] = OLD_TOKEN

    def begin(self) -> None:
        self._proxy.token = NEW_TOKEN

    def wait_until_met(self, timeout: float = 60.0) -> None:
        self._proxy.wait_for("expired", timeout=timeout)

    def end(self) -> None:
        os.environ[TOKEN] = NEW_TOKEN


class FullDisk(FaultyStore):
    """No file of the server grows beyond half of its database: it answers with an error, and so it does to uploads."""

    def __init__(self, server: TrackingServer) -> None:
        super().__init__(server.uri, server.uri)
        self._server = server
        self._full = ExitStack()

    def begin(self) -> None:
        self._errors = self._count_errors()
        database = self._server.log.parent / "mlflow.db"
        # Room for the log, so that the errors can be counted, and for SQLite's journal.
        self._full.enter_context(full_disk(self._server.processes(), database.stat().st_size // 2))

    def wait_until_met(self, timeout: float = 60.0) -> None:
        end = time.monotonic() + timeout
        while self._count_errors() == self._errors:
            assert time.monotonic() < end, "the server has not answered with an error"
            time.sleep(0.1)

    def end(self) -> None:
        self._full.close()

    def _count_errors(self) -> int:
        with open(f"{self._server.log}", encoding="utf-8", errors="replace") as log:
            return sum(re.search(r'HTTP/1.1" 50\d ', line) is not None for line in log)


FAULTS = ("killed", "cut", "lost_answer", "stall", "error_500", "unavailable_503", "expired_token", "full_disk")


@pytest.fixture
def make_faulty(request: pytest.FixtureRequest) -> Iterator[Callable[[str], FaultyStore]]:
    """Return a function that makes the store with one of `FAULTS`. Only the servers that it needs are started."""
    token = os.environ.get(TOKEN)

    def make(fault: str) -> FaultyStore:
        if fault == "full_disk":
            return FullDisk(request.getfixturevalue("file_server"))
        server = request.getfixturevalue("tracking_server")
        if fault == "killed":
            return KilledServer(server)
        proxy = request.getfixturevalue("proxy")
        return ExpiredToken(server, proxy) if fault == "expired_token" else FaultyProxy(server, proxy, Fault(fault))

    yield make
    os.environ.pop(TOKEN, None)
    if token is not None:
        os.environ[TOKEN] = token


@pytest.fixture(params=FAULTS)
def faulty_store(request: pytest.FixtureRequest, make_faulty: Callable[[str], FaultyStore]) -> FaultyStore:
    """Return a store with each of `FAULTS` in turn."""
    return make_faulty(request.param)
