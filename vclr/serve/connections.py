"""Connections that stall: each is ended after a while, and there are never more than a limited number of them.

uvicorn waits without end for a request whose header does not arrive, and for a client that does not read its answer.
"""

from __future__ import annotations

import asyncio

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 256  # also those that wait for the detector; further requests are answered 503
CHECK_SECONDS = 10.0  # a connection on which nothing moves from one check to the next but one is ended


class PromptProtocol(H11Protocol):
    """HTTP for clients that send their header, and read their answer, without long breaks.

    The body of a request has limits of its own (see `read_upload`), and waiting for the detector has none.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch the connection."""
        super().connection_made(transport)
        self._before: object = None
        self._timer = self.loop.call_later(CHECK_SECONDS, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the watch."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _check(self) -> None:
        state = self._stalled_state()
        if state is not None and state == self._before:
            self.transport.abort()
            return
        self._before = state
        self._timer = self.loop.call_later(CHECK_SECONDS, self._check)

    def _stalled_state(self) -> object:
        """Return what changes when a connection that waits for its client gets on; None if it waits for the server."""
        if unread := self.transport.get_write_buffer_size():
            return "answer", unread, self.cycle
        if self.cycle is None or self.cycle.response_complete:
            return "header", self.cycle
        return None


def configure(app: ASGIApp, host: str = "127.0.0.1", port: int = 8000) -> uvicorn.Config:
    """Return the settings of the web server."""
    return uvicorn.Config(
        app,
        host,
        port,
        http=PromptProtocol,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
    )
