"""Downloads from servers that misbehave: the file arrives right, or one line says what is wrong; never a wrong file."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.fetch.server import FileServer, Mood, serve_proxy, with_etag
from vclr.errors import UserError
from vclr.fetch.checksums import Expected
from vclr.fetch.download import download
from vclr.fetch.http_session import Address, HttpSession
from vclr.fetch.partial import Partial, received_bytes
from vclr.fetch.responses import retry_after
from vclr.fetch.settings import RetryPolicy
from vclr.fetch.transfer import SMALLEST_BLOCK
from vclr.files import read_json
from vclr.progress import Progress

SMALL = 300_000
SILENT = Progress("", None, quiet=True)
LARGE = 6 * SMALLEST_BLOCK + 12345  # several blocks
QUICK = RetryPolicy(retries=3, first_wait=0.002, longest_wait=0.01, longest_retry_after=0.3, read_timeout=0.4)

MakeBytes = Callable[[int], bytes]


def known(content: bytes, size: bool = True) -> Expected:
    return Expected(len(content) if size else None, sha256=hashlib.sha256(content).hexdigest())


@pytest.fixture
def fetch(tmp_path: Path) -> Iterator[Callable[..., bytes]]:
    """Download to one file and return its bytes; whatever happens, that file is never a wrong one."""
    target = tmp_path / "folder" / "file.bin"
    session = HttpSession()

    def run(expected: Expected, *urls: str, parts: int = 4, retry: RetryPolicy = QUICK) -> bytes:
        download(
            target, [Address(url) for url in urls], expected, retry, Progress("", None, quiet=True), session, parts
        )
        assert [path.name for path in target.parent.iterdir()] == ["file.bin"]
        return target.read_bytes()

    run.target = target  # type: ignore[attr-defined]
    yield run
    session.close()


def refused(fetch: Callable[..., bytes], *arguments: object, **options: object) -> str:
    with pytest.raises(UserError) as error:
        fetch(*arguments, **options)
    assert "\n" not in str(error.value)
    assert not fetch.target.exists()  # type: ignore[attr-defined]
    return str(error.value)


@pytest.mark.parametrize("size", [0, 1, SMALL, LARGE])
@pytest.mark.parametrize("parts", [1, 4])
def test_file_arrives(fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes, size: int, parts: int):
    content = random_bytes(size)
    url = server.put("/file.bin", content)
    assert fetch(known(content), url, parts=parts) == content
    assert server.sent("/file.bin") <= size + 1  # one for the question whether ranges are honored


def test_large_file_comes_in_several_parts(fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes):
    content = random_bytes(LARGE)
    assert fetch(known(content), server.put("/file.bin", content)) == content
    assert sum(request.status == 206 and request.sent > 1 for request in server.log) == 6


# Of each: moods of the first requests, and the mood of all others.
SURVIVED = {
    "connection ends": ([Mood(drop_after=100_000)] * 2, Mood()),
    "connection ends at once": ([Mood(drop_after=0)] * 2, Mood()),
    "connection ends again and again, a little farther each time": ([], Mood(drop_after=70_000)),
    "stalls": ([Mood(stall_after=70_000)], Mood()),
    "trickles": ([], Mood(pause=0.02)),
    "too many requests": ([Mood(status=429, headers={"Retry-After": "0"})] * 2, Mood()),
    "unavailable": ([Mood(status=503)] * 3, Mood()),
    "ignores ranges": ([Mood(drop_after=100_000)], Mood(ignores_range=True)),
    "answers another range": ([Mood(drop_after=100_000), Mood(content_range="bytes 7-299999/300000")], Mood()),
    "answers a range of another file": ([Mood(drop_after=100_000), Mood(content_range="bytes 7-8/9")], Mood()),
    "claims more": ([], Mood(claims=1000)),
    "claims more, and ignores ranges": ([], Mood(claims=1000, ignores_range=True)),
    "claims less once": ([Mood(claims=-1000)], Mood()),
    "sends wrong bytes once": ([Mood(content=b"x" * SMALL)], Mood()),
    "sends something short once": ([Mood(content=b"please log in")], Mood()),
    "sends in chunks": ([], Mood(chunked=True)),
    "sends in chunks and breaks off": ([Mood(chunked=True, drop_after=100_000)], Mood(chunked=True)),
    "does not say how much": ([], Mood(no_length=True)),
    "does not say how much, and breaks off": ([Mood(no_length=True, drop_after=100_000)], Mood(no_length=True)),
    "has no etag": ([Mood(drop_after=100_000, etag=None)], Mood(etag=None)),
}


@pytest.mark.parametrize("knows_size", [True, False], ids=["size", "no size"])
@pytest.mark.parametrize("case", SURVIVED)
def test_server_that_misbehaves(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes, case: str, knows_size: bool
):
    content = random_bytes(SMALL)
    moods, then = SURVIVED[case]
    url = server.put("/file.bin", content, *moods, then=then)
    assert fetch(known(content, knows_size), url, parts=1) == content


@pytest.mark.parametrize("case", ["connection ends", "stalls", "too many requests", "answers another range"])
def test_large_file_from_a_server_that_misbehaves(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes, case: str
):
    content = random_bytes(LARGE)
    moods, then = SURVIVED[case]
    url = server.put("/file.bin", content, Mood(), *moods, then=then)
    assert fetch(known(content), url) == content


def test_other_range_is_not_taken_for_the_one_asked_for(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes
):
    """Where no checksum tells, the answer's own words must."""
    content = random_bytes(SMALL)
    other = Mood(content=content[::-1], content_range=f"bytes 7-{SMALL - 1}/{SMALL}")
    url = server.put("/file.bin", content, Mood(drop_after=100_000), other)
    assert fetch(Expected(SMALL), url) == content


def test_ranges_that_are_honored_once_only(fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes):
    content = random_bytes(LARGE)
    url = server.put("/file.bin", content, Mood(), then=Mood(ignores_range=True))
    assert fetch(known(content), url) == content


def test_what_has_arrived_is_not_sent_again(fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes):
    content = random_bytes(SMALL)
    url = server.put("/file.bin", content, Mood(drop_after=200_000))
    assert fetch(known(content), url) == content
    assert server.log[1].headers["Range"] == "bytes=200000-"
    assert server.sent("/file.bin") == SMALL


# Of each: the mood of all requests, and what the line says.
FATAL = {
    "not there": (Mood(status=404), "answers 404 Not Found"),
    "forbidden": (Mood(status=403), "answers 403 Forbidden"),
    "unavailable": (Mood(status=503), "answers 503 Service Unavailable (4 times)"),
    "wrong bytes": (Mood(content=b"x" * SMALL), "sha256 is "),
    "truncated": (Mood(content=b"x" * 1000), "with 1000 bytes instead of 300000, expected "),
    "connection ends": (Mood(drop_after=0), "the connection "),
    "stalls": (Mood(stall_after=0), "timeout: no byte for 0.4 s"),
    "web page": (Mood(headers={"Content-Type": "text/html; charset=utf-8"}), "answers with a web page"),
    "encoded": (Mood(headers={"Content-Encoding": "gzip"}), "in another encoding (gzip)"),
    "redirects to itself": (Mood(status=302, headers={"Location": "/file.bin"}), "redirects"),
}


@pytest.mark.parametrize("case", FATAL)
def test_error_is_one_line_that_says_what_is_wrong(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes, case: str
):
    content = random_bytes(SMALL)
    mood, says = FATAL[case]
    url = server.put("/file.bin", content, then=mood)
    line = refused(fetch, known(content), url)
    assert line.startswith(f"{fetch.target}: could not be downloaded: {url}: ")  # type: ignore[attr-defined]
    assert says in line
    other = server.put("/other.bin", content)
    assert fetch(known(content), url, other) == content


def test_permanent_answers_are_not_asked_for_again(fetch: Callable[..., bytes], server: FileServer):
    refused(fetch, Expected(), f"{server.address}/nowhere", f"{server.address}/nowhere/else")
    assert [request.path for request in server.log] == ["/nowhere", "/nowhere/else"]


def test_wrong_bytes_are_fetched_twice_an_address(fetch: Callable[..., bytes], server: FileServer):
    urls = [server.put(path, b"wrong") for path in ("/one", "/two")]
    line = refused(fetch, known(b"right"), *urls)
    assert all(f"{url}: sha256 is {hashlib.sha256(b'wrong').hexdigest()}" in line for url in urls)
    assert server.count("/one") == server.count("/two") == 2


def test_address_where_nobody_listens(fetch: Callable[..., bytes], server: FileServer):
    line = refused(fetch, Expected(), "http://127.0.0.1:9/file.bin")
    assert "Connection refused" in line
    assert "HTTPConnectionPool" not in line


def test_size_alone_is_checked_where_it_is_all_that_is_known(fetch: Callable[..., bytes], server: FileServer):
    url = server.put("/file.bin", b"12345")
    assert "has 5 bytes, expected 6" in refused(fetch, Expected(6), url)
    assert fetch(Expected(5), url) == b"12345"


def test_redirect(fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes):
    content = random_bytes(SMALL)
    server.put("/there.bin", content, Mood(drop_after=100_000))
    url = server.put("/here.bin", b"", then=Mood(status=302, headers={"Location": "/there.bin"}))
    assert fetch(known(content), url) == content


def test_file_that_changes_while_it_is_fetched(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes
):
    """Without a checksum nothing but If-Range keeps two versions apart."""
    old, new = random_bytes(SMALL), random_bytes(SMALL)[::-1]
    url = server.put("/file.bin", new, Mood(content=old, drop_after=100_000, etag='"old"'), then=with_etag('"new"'))
    assert fetch(Expected(), url, parts=1) == new
    assert server.log[1].headers["If-Range"] == '"old"'


def test_large_file_that_changes_while_it_is_fetched(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes
):
    old, new = random_bytes(LARGE), random_bytes(LARGE)[::-1]
    moods = [Mood(content=old, etag='"old"')] * 3
    url = server.put("/file.bin", new, *moods, then=with_etag('"new"'))
    assert fetch(Expected(), url) == new


def test_retry_after_is_honored_up_to_a_limit(fetch: Callable[..., bytes], server: FileServer):
    for asked, least in (("0.05", 0.0), ("1000", QUICK.longest_retry_after), (formatdate(time.time() + 9), 0.3)):
        fetch.target.unlink(missing_ok=True)  # type: ignore[attr-defined]
        url = server.put("/file.bin", b"abc", Mood(status=429, headers={"Retry-After": asked}))
        started = time.monotonic()
        fetch(Expected(3), url)
        assert least <= time.monotonic() - started < 2
    assert retry_after({"Retry-After": "17"}) == 17
    assert retry_after({"Retry-After": "soon"}) == retry_after({}) == 0


def test_waits_grow_and_are_not_all_alike():
    waits = [[RetryPolicy().wait(failures, 0) for failures in range(1, 9)] for _ in range(20)]
    assert all(len(set(column)) > 1 for column in zip(*waits, strict=True))
    assert all(0.5 <= row[0] <= 1 and 16 <= row[5] <= 32 and row[7] <= 60 for row in waits)


def test_another_address_goes_on_where_the_first_broke_off(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes
):
    content = random_bytes(SMALL)
    first = server.put("/one", content, Mood(drop_after=200_000), then=Mood(status=404))
    assert fetch(known(content), first, server.put("/two", content)) == content
    assert server.sent("/two") == SMALL - 200_000


def test_later_run_goes_on_with_what_an_earlier_one_left(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes
):
    content = random_bytes(LARGE)
    moods = [Mood(), *[Mood(drop_after=1_000_000)] * 4]
    url = server.put("/file.bin", content, *moods, then=Mood(status=404))
    refused(fetch, known(content), url)
    left = received_bytes(fetch.target)  # type: ignore[attr-defined]
    assert left >= 1_000_000
    server.put("/file.bin", content)
    before = server.sent("/file.bin")
    assert fetch(known(content), url) == content
    assert server.sent("/file.bin") - before == LARGE - left


@pytest.mark.parametrize("damage", ["no json", "half a json", "no bytes", "fewer bytes", "other blocks"])
def test_remains_that_do_not_belong_together_are_not_trusted(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes, damage: str
):
    content = random_bytes(SMALL)
    url = server.put("/file.bin", content, Mood(drop_after=200_000), then=Mood(status=404))
    refused(fetch, known(content), url)
    target: Path = fetch.target  # type: ignore[attr-defined]
    state, bytes_ = target.with_name("file.bin.partial.json"), target.with_name("file.bin.partial")
    assert state.exists() and bytes_.exists()
    if damage == "no json":
        state.unlink()
    elif damage == "half a json":
        state.write_text(state.read_text()[:20])
    elif damage == "other blocks":
        state.write_text(state.read_text().replace("200000", "-5"))
    elif damage == "no bytes":
        bytes_.unlink()
    else:
        bytes_.write_bytes(b"few")
    assert received_bytes(target) == 0
    server.put("/file.bin", content)
    assert fetch(known(content), url) == content


def test_state_speaks_only_of_bytes_that_are_there(tmp_path: Path, random_bytes: MakeBytes):
    """Whatever moment the json is read at, the bytes that it tells of are in the file."""
    content, target = random_bytes(3_000_000), tmp_path / "file"
    partial = Partial(target, seconds_between_saves=0.0)
    partial.begin("http://localhost/", "", len(content), 3)

    def write(number: int) -> None:
        block = partial.blocks[number]
        while not block.is_done:
            partial.write(block, content[block.position : block.position + 50_000])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        seen.add(received_bytes(target))
        if received_bytes(target):
            blocks = read_json(target.with_name("file.partial.json"))["blocks"]
            there = target.with_name("file.partial").read_bytes()
            assert all(there[start:position] == content[start:position] for start, _, position in blocks)
    for thread in threads:
        thread.join()
    assert partial.is_done and len(seen) > 1
    partial.finish()
    partial.close()
    assert target.read_bytes() == content


def test_proxy_of_the_environment(
    fetch: Callable[..., bytes], server: FileServer, random_bytes: MakeBytes, monkeypatch: pytest.MonkeyPatch
):
    content = random_bytes(SMALL)
    server.put("/file.bin", content)
    with serve_proxy(server.address) as (address, log):
        monkeypatch.setenv("http_proxy", address)
        assert fetch(known(content), "http://files.invalid/file.bin", parts=1) == content
    assert log == ["http://files.invalid/file.bin"]
