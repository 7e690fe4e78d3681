"""A proxy between a client and an MLflow server that fails on demand, as networks, gateways and tokens do."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Headers of one connection, not of what it carries.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection"}
LONGEST_STALL = 120.0  # seconds


class Fault(Enum):
    """What the proxy does with a request."""

    NONE = "none"  # hands it on
    CUT = "cut"  # breaks all connections off, open and new ones
    LOST_ANSWER = "lost_answer"  # hands it on and breaks the connection off: the server has done it, nobody knows
    STALL = "stall"  # keeps it for `stall_seconds`, then hands it on, whether or not the client still waits
    ERROR_500 = "error_500"
    UNAVAILABLE_503 = "unavailable_503"  # with a page in HTML and a header Retry-After, as load balancers send it


class Proxy:
    """A proxy in threads of the test; a context manager.

    Attributes:
        uri: its address, for clients.
        fault: what it does with the next requests. It also changes what happens to requests that are kept.
        stall_seconds: how long `Fault.STALL` keeps a request.
        token: if not None, only requests that carry it pass; the others are answered 401 as if theirs had expired.
        seen: how many requests met each fault; those without a valid token count as "expired".
    """

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.token: str | None = None
        self.stall_seconds = 60.0
        self.seen: Counter[str] = Counter()
        self._fault = Fault.NONE
        self._changed = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        waiting, self._changed = self._changed, threading.Event()
        waiting.set()
        if fault is Fault.CUT:
            with self._lock:
                for connection in self._connections:
                    break_off(connection)

    def keep(self) -> None:
        """Keep a request until its time is over or the fault changes."""
        self._changed.wait(min(self.stall_seconds, LONGEST_STALL))

    def wait_for(self, fault: str, requests: int = 1, timeout: float = 60.0) -> None:
        """Wait until that many requests met a fault, which is named as in `seen`."""
        end = time.monotonic() + timeout
        while self.seen[fault] < requests:
            assert time.monotonic() < end, f"no request met {fault} within {timeout} s; those that came: {self.seen}"
            time.sleep(0.02)

    def connected(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        if self._fault is Fault.CUT:
            self.seen[Fault.CUT.value] += 1
            break_off(connection)

    def disconnected(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.fault = Fault.CUT
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def break_off(connection: socket.socket) -> None:
    """End a connection without a farewell: the client gets a reset."""
    with suppress(OSError):  # it has ended by itself
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)


def _handler_of(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            proxy.connected(self.connection)

        def finish(self) -> None:
            proxy.disconnected(self.connection)
            with suppress(OSError):  # what it still had to say has no listener
                super().finish()

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the connection was broken off, here or by the client
                self.close_connection = True

        def _answer(self) -> None:
            body = self._read_body()
            if proxy.token is not None and self.headers["Authorization"] != f"Bearer {proxy.token}":
                proxy.seen["expired"] += 1
                self._send(401, b"token expired", {"Content-Type": "text/plain", "WWW-Authenticate": "Bearer"})
                return
            fault = proxy.fault
            proxy.seen[fault.value] += 1
            if fault is Fault.ERROR_500:
                self._send(500, b'{"error_code": "INTERNAL_ERROR", "message": "no space left on device"}', {})
            elif fault is Fault.UNAVAILABLE_503:
                page = b"<html><body><h1>503 Service Unavailable</h1></body></html>"
                self._send(503, page, {"Content-Type": "text/html", "Retry-After": "3600"})
            elif fault is Fault.CUT:
                break_off(self.connection)
            else:
                if fault is Fault.STALL:
                    proxy.keep()
                status, answer, headers = self._hand_on(body)
                if fault is Fault.LOST_ANSWER:
                    break_off(self.connection)
                else:
                    self._send(status, answer, headers)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

        def _read_body(self) -> bytes:
            if self.headers["Transfer-Encoding"] != "chunked":
                return self.rfile.read(int(self.headers["Content-Length"] or 0))
            parts = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _hand_on(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
            upstream = http.client.HTTPConnection(proxy.target.hostname or "", proxy.target.port, timeout=60)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
                upstream.request(self.command, self.path, body or None, headers | {"Content-Length": str(len(body))})
                answer = upstream.getresponse()
                content = answer.read()
                kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
                return answer.status, content, kept
            except OSError as error:  # the server is gone
                return 502, str(error).encode(), {}
            finally:
                upstream.close()

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response_only(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler
