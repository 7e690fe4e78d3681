"""A web server that behaves as it is told, path by path and request by request, and a proxy; both keep a log."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Mood:
    """How one request is answered; by default as HTTP says."""

    status: int | None = None  # instead of the file
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None  # other bytes than the file's
    drop_after: int | None = None  # bytes of the answer after which the connection ends
    stall_after: int | None = None  # bytes after which nothing comes for a while
    pause: float = 0.0  # seconds between two pieces of 64 KiB
    claims: int = 0  # so many bytes more, or less, than there are
    ignores_range: bool = False
    content_range: str | None = None
    etag: str | None = '"one"'
    chunked: bool = False
    no_length: bool = False


GOOD = Mood()


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


class FileServer:
    """Serve what `put` says; `log` has every request."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, tuple[bytes, deque[Mood], Mood]] = {}
        self.log: list[Request] = []
        self.stopped = threading.Event()

    def put(self, path: str, content: bytes, *moods: Mood, then: Mood = GOOD) -> str:
        """Serve a file: the first requests in these moods, all others in the last one. Returns its address."""
        self.files[path] = (content, deque(moods), then)
        return f"{self.address}{path}"

    def sent(self, path: str) -> int:
        return sum(request.sent for request in self.log if request.path == path)

    def count(self, path: str) -> int:
        return sum(request.path == path for request in self.log)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:  # noqa: N802
        request = Request(unquote(self.path), dict(self.headers.items()))
        self.files.log.append(request)
        served = self.files.files.get(request.path)
        if served is None:
            self._answer(request, b"", Mood(status=404))
            return
        content, moods, then = served
        mood = moods.popleft() if moods else then
        self._answer(request, content if mood.content is None else mood.content, mood)

    def _answer(self, request: Request, content: bytes, mood: Mood) -> None:
        status, body, headers = 200, content, {"Accept-Ranges": "bytes", **mood.headers}
        if mood.etag is not None:
            headers["ETag"] = mood.etag
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        is_same = request.headers.get("If-Range") in (None, mood.etag)
        if mood.status is not None:
            status, body = mood.status, b"no such luck"
        elif asked and is_same and not mood.ignores_range:
            start, stop = int(asked[1]), int(asked[2] or len(content) - 1) + 1
            if start >= len(content):
                status, body, headers["Content-Range"] = 416, b"", f"bytes */{len(content)}"
            else:
                body = content[start:stop]
                status = 206
                total = len(content) + mood.claims
                headers["Content-Range"] = mood.content_range or f"bytes {start}-{start + len(body) - 1}/{total}"
        request.status = status
        self.send_response(status)
        headers.setdefault("Content-Type", "application/octet-stream")
        if mood.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif not mood.no_length:
            headers["Content-Length"] = str(len(body) + (mood.claims if status == 200 else 0))
        if mood.no_length:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self._send(request, body, mood)

    def _send(self, request: Request, body: bytes, mood: Mood) -> None:
        ends = [end for end in (mood.drop_after, mood.stall_after) if end is not None]
        stop = min([len(body), *ends])
        for start in range(0, stop, 1 << 16):
            piece = body[start : min(start + (1 << 16), stop)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if mood.chunked else piece)
            request.sent += len(piece)
            if mood.pause:
                time.sleep(mood.pause)
        if mood.stall_after is not None:
            self.files.stopped.wait(3)
        if stop < len(body) or mood.claims or mood.no_length:
            self.close_connection = True
        elif mood.chunked:
            self.wfile.write(b"0\r\n\r\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of connections that the other side has ended."""


class _Proxy(BaseHTTPRequestHandler):
    """Ask one server for everything, whatever host was meant."""

    log: list[str]
    origin: str

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:  # noqa: N802
        self.log.append(self.path)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.origin + urlsplit(self.path).path) as answer:
            body = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve() -> Iterator[FileServer]:
    """Run a server of files."""
    handler = type("Handler", (_Handler,), {})
    with _running(handler) as address:
        handler.files = FileServer(address)  # type: ignore[attr-defined]
        yield handler.files  # type: ignore[attr-defined]
        handler.files.stopped.set()  # type: ignore[attr-defined]


@contextmanager
def serve_proxy(origin: str) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy; its address, and the addresses that it was asked for."""
    handler = type("Proxy", (_Proxy,), {"origin": origin, "log": []})
    with _running(handler) as address:
        yield address, handler.log  # type: ignore[attr-defined]


@contextmanager
def _running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_etag(tag: str) -> Mood:
    return replace(GOOD, etag=tag)
