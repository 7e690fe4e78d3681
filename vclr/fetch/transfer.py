"""Download a file from one address, over several connections, until it is complete and verified.

requests speaks HTTP (proxies by the usual variables, certificates, redirects). This module handles what servers and
networks add to that: ranges that are honored, ignored or answered wrongly, connections that end or stall, lengths that
are wrong, files that change during the download.

Several connections pay off if the server limits the speed of each one: at 5 MB/s per connection, 40 MiB took 8.2 s over
one and 2.5 s over four. Without a limit they make no difference.
"""

from __future__ import annotations

import functools
import http.client
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests
import urllib3

from vclr.fetch.checksums import Expected, Found, hash_file
from vclr.fetch.http_session import Address, HttpSession
from vclr.fetch.partial import Block, Partial
from vclr.fetch.responses import (
    AddressError,
    StartOverError,
    TemporaryError,
    check_status,
    content_length,
    parse_content_range,
    validator,
)
from vclr.fetch.settings import RetryPolicy
from vclr.progress import Progress

log = logging.getLogger("vclr.fetch")

CHUNK = 1 << 18
SMALLEST_BLOCK = 4 << 20  # bytes that justify a request of their own
BLOCKS_PER_PART = 16  # so that all connections finish at about the same time
MAX_RESTARTS = 3


@dataclass
class Transfer:
    """The download of a file from one address."""

    partial: Partial
    address: Address
    expected: Expected
    retry: RetryPolicy
    report: Progress
    parts: int
    session: HttpSession
    stopped: threading.Event = field(default_factory=threading.Event)
    was_cut_off: bool = False  # a connection ended before the length that the server announced

    def complete(self) -> Found:
        """Download the file, verify it and give it its name; start over once if it is not as expected.

        Raises:
            AddressError: this address does not have the file.
        """
        if not self.expected.has_checksum and self.partial.url != self.address.url:
            self.partial.discard()  # nothing says that two addresses have the same bytes
        difference = ""
        for _ in range(2):
            trouble = None
            try:
                self._download()
            except AddressError as error:
                if not self._may_be_whole():
                    raise
                trouble = error
            self.report.say("verifying")
            found = hash_file(self.partial.path, self.partial.received)
            self.report.say("")
            difference = self.expected.difference(found)
            if not difference:
                self.partial.finish()
                return found
            if trouble is not None:
                raise trouble
            self.partial.discard()
        raise AddressError(difference)

    def _may_be_whole(self) -> bool:
        """Tell whether a server may have announced more bytes than the file has; if so, its checksum decides."""
        is_as_long = self.expected.bytes in (None, self.partial.received)
        return self.was_cut_off and self.expected.has_checksum and len(self.partial.blocks) == 1 and is_as_long

    def _download(self) -> None:
        use_ranges, reason = True, ""
        for _ in range(MAX_RESTARTS + 1):
            try:
                if not self.partial.blocks and use_ranges and self._is_large():
                    self._with_retries(self._divide, lambda: 0)
                if len(self.partial.blocks) > 1:
                    self._fill_blocks()
                elif not self.partial.is_done:
                    self._with_retries(self._stream, lambda: self.partial.received)
                return
            except StartOverError as error:
                reason, use_ranges = str(error), use_ranges and not error.in_one_stream
                self.partial.discard()
        raise AddressError(f"{reason}, {MAX_RESTARTS + 1} times")

    def _is_large(self) -> bool:
        return self.parts > 1 and (self.expected.bytes is None or self.expected.bytes >= 2 * SMALLEST_BLOCK)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _with_retries(self, attempt: Callable[[], None], position: Callable[[], int]) -> None:
        """Retry while the error is temporary; attempts that brought new bytes do not count."""
        failures, farthest = 0, position()
        while True:
            try:
                attempt()
                return
            except TemporaryError as trouble:
                if position() > farthest:
                    failures, farthest = 0, position()
                failures += 1
                if failures > self.retry.retries:
                    times = f" ({failures} times)" if failures > 1 else ""
                    raise AddressError(f"{trouble}{times}") from None
                seconds = self.retry.wait(failures, trouble.retry_after)
                if seconds >= 1:
                    log.info("%s: %s; retrying in %.0f s", self.partial.target, trouble, seconds)
                if self._is_stopped_within(seconds):
                    return

    def _is_stopped_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._check_interrupted()
            if self.stopped.wait(min(left, 0.5)):
                return True
        return self.stopped.is_set()

    def _check_interrupted(self) -> None:
        if self.session.interrupted.is_set():
            raise AddressError("was interrupted")

    def _request(self, first: int, last: int | None, is_range: bool) -> requests.Response:
        """Request the file, or a range of its bytes; raise for a response that holds none of them."""
        self._check_interrupted()
        headers = dict(self.address.headers)
        headers["Accept-Encoding"] = "identity"
        if is_range:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
            if self.partial.blocks and self.partial.validator and not self.expected.has_checksum:
                headers["If-Range"] = self.partial.validator
        times = (self.retry.connect_timeout, self.retry.read_timeout)
        try:
            response = self.session.get(self.address.url, headers=headers, stream=True, timeout=times)
        except requests.exceptions.SSLError as error:
            if "certificate" in str(error).lower():
                raise AddressError(_describe(error)) from None
            raise TemporaryError(_describe(error)) from None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise TemporaryError(self._describe_wait(error)) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise AddressError(_describe(error)) from None
        try:
            check_status(response.status_code, response.reason or "", response.headers, self.partial.target.name)
        except BaseException:
            response.close()
            raise
        return response

    def _divide(self) -> None:
        """Request one byte: if the server honors the range, plan several blocks to download at once."""
        with self._request(0, 0, is_range=True) as response:
            start, total = parse_content_range(response.headers)
            if response.status_code == 206 and start == 0 and total is not None:
                self._check_size(total)
                num_blocks = min(total // SMALLEST_BLOCK, self.parts * BLOCKS_PER_PART)
                self.partial.begin(self.address.url, validator(response.headers), total, max(num_blocks, 1))

    def _stream(self) -> None:
        """Download the file, or the rest of it, with one request."""
        position = self.partial.received
        with self._request(position, None, is_range=position > 0) as response:
            start, total = parse_content_range(response.headers)
            if response.status_code == 416:
                if total != position or not position:
                    raise StartOverError(f"has no bytes from {position} on", in_one_stream=True)
                self.partial.blocks[0].stop = position
                return
            if response.status_code == 206:
                self._check_range(response, position)
            else:  # the whole file although a range was requested: no support for ranges, or another version
                total = content_length(response.headers)
                self._check_size(total)
                self.partial.begin(self.address.url, validator(response.headers), total)
            self._read(response, self.partial.blocks[0])

    def _fill(self, block: Block) -> None:
        """Download one of several blocks, or the rest of it, with one request."""
        assert block.stop is not None
        with self._request(block.position, block.stop - 1, is_range=True) as response:
            if response.status_code == 200:
                has_changed = validator(response.headers) != self.partial.validator
                what = "the file changes while it is fetched" if has_changed else "ignores ranges after all"
                raise StartOverError(what, in_one_stream=not has_changed)
            if response.status_code == 416:
                raise StartOverError(f"has no bytes from {block.position} on", in_one_stream=True)
            self._check_range(response, block.position)
            self._read(response, block)

    def _fill_blocks(self) -> None:
        """Download the remaining blocks, several at once; the first error ends all."""
        left = [block for block in self.partial.blocks if not block.is_done]
        waiting = iter(left)
        troubles: list[BaseException] = []

        def work() -> None:
            try:
                while not self.stopped.is_set() and (block := next(waiting, None)) is not None:
                    position = functools.partial(getattr, block, "position")
                    self._with_retries(functools.partial(self._fill, block), position)
            except BaseException as error:
                troubles.append(error)
                self.stopped.set()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(self.parts, len(left)))]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self.stopped.set()
        self.stopped = threading.Event()
        if troubles:
            raise troubles[0]

    # --- responses ---------------------------------------------------------------------------------------------------

    def _check_size(self, total: int | None) -> None:
        """Refuse a file of another size at once if no checksum can tell whether it is the right file."""
        if self.expected.bytes not in (None, total) and total is not None and not self.expected.has_checksum:
            raise AddressError(self.expected.difference(Found(total, "", "")))

    def _check_range(self, response: requests.Response, position: int) -> None:
        start, total = parse_content_range(response.headers)
        if start != position or self.partial.total not in (None, total):
            says = response.headers.get("Content-Range", "nothing")
            raise StartOverError(f"asked for the bytes from {position} on, answers {says!r}", in_one_stream=True)
        found = validator(response.headers)
        if not self.expected.has_checksum and self.partial.validator and found not in ("", self.partial.validator):
            raise StartOverError("the file changes while it is fetched", in_one_stream=False)
        if self.partial.total is None:
            self.partial.blocks[-1].stop = total

    def _read(self, response: requests.Response, block: Block) -> None:
        """Write the bytes of a response, up to the end of the block."""
        trouble = ""
        while not block.is_done and not self.stopped.is_set():
            self._check_interrupted()
            try:
                data = response.raw.read1(CHUNK, decode_content=False)
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
                trouble = self._describe_wait(error)
                break
            if not data:
                if block.stop is None:
                    block.stop = block.position
                break
            self.partial.write(block, data)
            self.report.set(self.partial.received, self.partial.total)
        if block.is_done or self.stopped.is_set():
            return
        if len(self.partial.blocks) == 1 and block.position == self.expected.bytes:
            block.stop = block.position  # complete, whatever length the server announced
            return
        self.was_cut_off = True
        of = "" if block.stop is None else f" of {block.stop}"
        raise TemporaryError(trouble or f"the connection ended after {block.position}{of} bytes")

    def _describe_wait(self, error: Exception) -> str:
        if isinstance(error, (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError)):
            return f"no connection within {self.retry.connect_timeout:g} s"
        if "timed out" in str(error).lower():
            return f"timeout: no byte for {self.retry.read_timeout:g} s"
        if isinstance(error, (urllib3.exceptions.ProtocolError, http.client.HTTPException)):
            return f"the connection broke off after {self.partial.received} bytes"
        return _describe(error)


def _describe(error: BaseException) -> str:
    """Return the core of the long messages of requests and urllib3, in one line."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    inner = getattr(inner, "reason", None) or inner
    text = " ".join(str(inner).split())
    return re.sub(r"<[^>]*>:? ?|^\w+\(.*?\): ", "", text)[:300] or type(error).__name__
