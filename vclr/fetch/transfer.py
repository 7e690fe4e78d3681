"""A file on its way from one address, over several connections, until it is whole and verified or cannot be.

requests speaks HTTP (proxies by the usual variables, certificates, redirects). What is done here is what servers and
networks make necessary on top: ranges that are honored, ignored or answered wrongly, connections that end or stall,
lengths that are not true, versions that change in between.
"""

from __future__ import annotations

import functools
import http.client
import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Protocol

import requests
import urllib3

from vclr.fetch.answers import (
    AddressError,
    StartOverError,
    TemporaryError,
    check_status,
    content_length,
    parse_content_range,
    validator,
)
from vclr.fetch.checksums import Expected, Found, hash_file
from vclr.fetch.connections import Address, Sessions
from vclr.fetch.partial import Block, Partial
from vclr.fetch.patience import Patience

log = logging.getLogger("vclr.fetch")

CHUNK = 1 << 18
SMALLEST_BLOCK = 4 << 20  # bytes that are worth a request of their own
BLOCKS_PER_PART = 16  # so that the last ones end at about the same time
MAX_RESTARTS = 3


class Report(Protocol):
    """Who is told how far a download is."""

    def set(self, done: int, total: int | None) -> None:
        """Say how many bytes have arrived, of how many."""

    def say(self, note: str) -> None:
        """Say what is being done."""


class Nobody:
    """Hears how far a download is, where nobody needs to know."""

    def set(self, done: int, total: int | None) -> None:
        """Hear it."""

    def say(self, note: str) -> None:
        """Hear it."""


class Transfer:
    """A file on its way from one address."""

    def __init__(
        self,
        partial: Partial,
        address: Address,
        expected: Expected,
        patience: Patience,
        report: Report,
        parts: int,
        sessions: Sessions,
    ) -> None:
        self.partial, self.address, self.expected = partial, address, expected
        self.patience, self.report, self.parts, self.sessions = patience, report, parts, sessions
        self.stopped = threading.Event()
        self.was_cut_off = False  # a connection ended before the server's own length

    def complete(self) -> Found:
        """Bring the file, verify it and give it its name; start over once where it is not as expected.

        Raises:
            AddressError: this address does not have it.
        """
        if not self.expected.has_checksum and self.partial.url != self.address.url:
            self.partial.discard()  # nothing says that two addresses have the same bytes
        difference = ""
        for _ in range(2):
            trouble = None
            try:
                self._bring()
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
        """Tell whether a server may have claimed more bytes than the file has; then its checksum decides."""
        is_as_long = self.expected.bytes in (None, self.partial.received)
        return self.was_cut_off and self.expected.has_checksum and len(self.partial.blocks) == 1 and is_as_long

    def _bring(self) -> None:
        use_ranges, reason = True, ""
        for _ in range(MAX_RESTARTS + 1):
            try:
                if not self.partial.blocks and use_ranges and self._is_large():
                    self._persist(self._divide, lambda: 0)
                if len(self.partial.blocks) > 1:
                    self._fill_blocks()
                elif not self.partial.is_done:
                    self._persist(self._stream, lambda: self.partial.received)
                return
            except StartOverError as error:
                reason, use_ranges = str(error), use_ranges and not error.in_one_stream
                self.partial.discard()
        raise AddressError(f"{reason}, again and again")

    def _is_large(self) -> bool:
        return self.parts > 1 and (self.expected.bytes is None or self.expected.bytes >= 2 * SMALLEST_BLOCK)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _persist(self, attempt: Callable[[], None], position: Callable[[], int]) -> None:
        """Try again while the trouble is temporary; attempts that brought new bytes do not count."""
        failures, farthest = 0, position()
        while True:
            try:
                attempt()
                return
            except TemporaryError as trouble:
                if position() > farthest:
                    failures, farthest = 0, position()
                failures += 1
                if failures > self.patience.retries:
                    times = f" ({failures} times)" if failures > 1 else ""
                    raise AddressError(f"{trouble}{times}") from None
                seconds = self.patience.wait(failures, trouble.retry_after)
                if seconds >= 1:
                    log.info("%s: %s; again in %.0f s", self.partial.target, trouble, seconds)
                if self._is_stopped_within(seconds):
                    return

    def _is_stopped_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._hear_interrupt()
            if self.stopped.wait(min(left, 0.5)):
                return True
        return self.stopped.is_set()

    def _hear_interrupt(self) -> None:
        if self.sessions.interrupted.is_set():
            raise AddressError("was interrupted")

    def _ask(self, first: int = 0, last: int | None = None, is_range: bool = False) -> requests.Response:
        """Ask for the file, or for a range of its bytes; answers that bring none of them raise."""
        self._hear_interrupt()
        headers = dict(self.address.headers)
        headers["Accept-Encoding"] = "identity"
        if is_range:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
            if self.partial.blocks and self.partial.validator and not self.expected.has_checksum:
                headers["If-Range"] = self.partial.validator
        times = (self.patience.connect_timeout, self.patience.read_timeout)
        try:
            response = self.sessions.get().get(self.address.url, headers=headers, stream=True, timeout=times)
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
        """Ask for one byte: who honors this is asked for several blocks at once."""
        with self._ask(0, 0, is_range=True) as response:
            start, total = parse_content_range(response.headers)
            if response.status_code == 206 and start == 0 and total is not None:
                self._check_size(total)
                num_blocks = min(total // SMALLEST_BLOCK, self.parts * BLOCKS_PER_PART)
                self.partial.begin(self.address.url, validator(response.headers), total, max(num_blocks, 1))

    def _stream(self) -> None:
        """Read the file, or the rest of it, in one go."""
        position = self.partial.received
        with self._ask(position, is_range=position > 0) as response:
            start, total = parse_content_range(response.headers)
            if response.status_code == 416:
                if total != position or not position:
                    raise StartOverError(f"has no bytes from {position} on", in_one_stream=True)
                self.partial.blocks[0].stop = position
                return
            if response.status_code == 206:
                self._check_range(response, position)
            else:  # the whole file, whatever was asked for: this server knows no ranges, or the file has changed
                total = content_length(response.headers)
                self._check_size(total)
                self.partial.begin(self.address.url, validator(response.headers), total)
            self._read(response, self.partial.blocks[0])

    def _fill(self, block: Block) -> None:
        """Read one of several blocks, or the rest of it, in one answer."""
        assert block.stop is not None
        with self._ask(block.position, block.stop - 1, is_range=True) as response:
            if response.status_code == 200:
                has_changed = validator(response.headers) != self.partial.validator
                what = "the file changes while it is fetched" if has_changed else "ignores ranges after all"
                raise StartOverError(what, in_one_stream=not has_changed)
            if response.status_code == 416:
                raise StartOverError(f"has no bytes from {block.position} on", in_one_stream=True)
            self._check_range(response, block.position)
            self._read(response, block)

    def _fill_blocks(self) -> None:
        """Read the blocks that are left, several at once; the first trouble ends all."""
        left = [block for block in self.partial.blocks if not block.is_done]
        waiting = iter(left)
        troubles: list[BaseException] = []

        def work() -> None:
            try:
                while not self.stopped.is_set() and (block := next(waiting, None)) is not None:
                    self._persist(functools.partial(self._fill, block), functools.partial(getattr, block, "position"))
            except BaseException as error:
                troubles.append(error)
                self.stopped.set()
            finally:
                self.sessions.leave()

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

    # --- answers -----------------------------------------------------------------------------------------------------

    def _check_size(self, total: int | None) -> None:
        """Refuse a file of another size at once, where nothing else could tell that it is another one."""
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
        """Write what a response brings, to the end of the block."""
        trouble = ""
        while not block.is_done and not self.stopped.is_set():
            self._hear_interrupt()
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
            block.stop = block.position  # all there is, whatever the server's length was
            return
        self.was_cut_off = True
        of = "" if block.stop is None else f" of {block.stop}"
        raise TemporaryError(trouble or f"the connection ended after {block.position}{of} bytes")

    def _describe_wait(self, error: Exception) -> str:
        if isinstance(error, (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError)):
            return f"no connection within {self.patience.connect_timeout:g} s"
        if "timed out" in str(error).lower():
            return f"nothing came for {self.patience.read_timeout:g} s"
        if isinstance(error, (urllib3.exceptions.ProtocolError, http.client.HTTPException)):
            return f"the connection broke off after {self.partial.received} bytes"
        return _describe(error)


def _describe(error: BaseException) -> str:
    """Return the core of what requests and urllib3 say at length, in one line."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    inner = getattr(inner, "reason", None) or inner
    text = " ".join(str(inner).split())
    return re.sub(r"<[^>]*>:? ?|^\w+\(.*?\): ", "", text)[:300] or type(error).__name__
