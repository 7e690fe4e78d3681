"""Visitors who stall, over real sockets: they keep nobody waiting, are not too many, and are let go after a while."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.serve.running import encode, half_request, held_detector, picture, post, running, wait_for_place
from vclr.serve import connections, upload
from vclr.serve.app import Limits

PHOTO = encode(picture(400, 300), "JPEG")
SECONDS = 0.5  # of patience, instead of 10


@pytest.fixture(scope="module")
def narrow(checkpoints: list[Path]) -> Iterator[str]:
    """A server with one place, and no queue."""
    with running(checkpoints[:1], Limits(1_000_000, 4_000_000, max_waiting=0)) as (address, _):
        yield address


def read_all(client: socket.socket) -> bytes:
    """Return what a server sends until it closes the connection."""
    client.settimeout(20)
    data = b""
    with suppress(ConnectionResetError):  # which closes it, too
        while more := client.recv(1 << 16):
            data += more
    return data


def test_others_are_answered_while_uploads_stall(narrow: str):
    stalled = [half_request(narrow, len(PHOTO)) for _ in range(8)]
    for client in stalled:
        client.sendall(PHOTO[:100])
    for _ in range(3):
        assert post(narrow, PHOTO).status_code == 200
    stalled[0].sendall(PHOTO[100:])  # goes on after all
    assert stalled[0].recv(100).startswith(b"HTTP/1.1 200 ")
    for client in stalled:
        client.close()


def test_upload_that_stalls_is_ended(narrow: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upload, "SILENT_SECONDS", SECONDS)
    client = half_request(narrow)
    said = read_all(client)
    assert said.startswith(b"HTTP/1.1 408 ") and b"The upload stopped for 0.5 seconds." in said
    client.close()


def test_upload_that_trickles_is_ended(narrow: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upload, "READ_SECONDS", SECONDS)
    client = half_request(narrow, 10_000)
    started = time.monotonic()
    client.settimeout(0.1)
    said = b""
    while not said:
        assert time.monotonic() < started + 20
        client.sendall(b"x")
        try:
            said = client.recv(1000)
        except TimeoutError:
            continue
    said += read_all(client)
    assert said.startswith(b"HTTP/1.1 408 ") and b"The upload took longer than 0.5 seconds." in said
    assert time.monotonic() - started > 0.9 * SECONDS
    client.close()


def test_uploads_at_once_are_limited(checkpoints: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vclr.serve.app.MAX_ARRIVING", 2)
    with running(checkpoints[:1]) as (address, _):
        stalled = [half_request(address) for _ in range(2)]
        answer = post(address, PHOTO)
        while answer.status_code == 200:  # the slow ones have not arrived yet
            answer = post(address, PHOTO)
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        assert answer.json()["error"] == "Too many photos are being sent; please try again in a moment."
        for client in stalled:
            client.close()
        while post(address, PHOTO).status_code == 503:  # until the server has noticed
            continue
        assert post(address, PHOTO).status_code == 200


def test_connections_that_stall_in_their_header_are_ended(narrow: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "CHECK_SECONDS", SECONDS / 4)
    host, port = narrow.removeprefix("http://").split(":")
    silent, half, second = (socket.create_connection((host, int(port))) for _ in range(3))
    half.sendall(b"POST /api/predict HTTP/1.1\r\nHost: ")
    second.sendall(f"GET /page.css HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert second.recv(100).startswith(b"HTTP/1.1 200 ")
    second.sendall(b"GET / HTTP/1.1\r\nHo")
    for client in (silent, half, second):
        read_all(client)
        client.close()


def test_photo_in_work_is_no_stalled_connection(narrow: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "CHECK_SECONDS", SECONDS / 8)
    with held_detector(monkeypatch):
        client = half_request(narrow, len(PHOTO), "patient")
        client.sendall(PHOTO)
        wait_for_place(narrow, "patient", 0)
        time.sleep(SECONDS)
    assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    client.close()


def test_client_that_reads_no_answer_is_let_go(narrow: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "CHECK_SECONDS", SECONDS / 4)
    host, port = narrow.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    times = 2500  # more answers than the system keeps for a client
    client.sendall(f"GET /page.js HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * times)
    time.sleep(3 * SECONDS)
    assert len(read_all(client)) < times * len(requests.get(f"{narrow}/page.js", timeout=9).content)
    client.close()
    assert requests.get(narrow, timeout=9).status_code == 200


def test_connections_are_limited(checkpoints: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 4)
    with running(checkpoints[:1]) as (address, _):
        host, port = address.removeprefix("http://").split(":")
        clients = [socket.create_connection((host, int(port))) for _ in range(4)]
        assert requests.get(address, timeout=9).status_code == 503
        for client in clients:
            client.close()
        until = time.monotonic() + 20
        while requests.get(address, timeout=9).status_code != 200:
            assert time.monotonic() < until
