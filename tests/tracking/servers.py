"""Servers of MLflow that run beside a test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def answering(command: list[str], health: str, log: Path) -> Iterator[None]:
    """Run a server of MLflow for the length of a block, which begins once it answers."""
    with log.open("w") as output, running(command, stdout=output, stderr=subprocess.STDOUT) as server:
        end = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(health, timeout=5):
                    break
            except OSError:
                assert server.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.2)
        try:
            yield
        finally:
            stop_group(server)


def stop_group(server: subprocess.Popen[str]) -> None:
    """End the server with its workers, which are in its process group."""
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
