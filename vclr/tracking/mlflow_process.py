"""Run MLflow's web server as a process, and leave none behind."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO

from vclr.errors import UsageError, UserError
from vclr.tracking.quiet import SETTINGS
from vclr.tracking.secrets import redact

START_TIMEOUT = 120.0  # seconds; a cold disk needs much of it
WILDCARDS = ("0.0.0.0", "::")  # a server listens here for everybody; a browser cannot open them
LOOPBACK = ("localhost", "127.0.0.1", "::1")
POLL_SECONDS = 1.0
STOP_TIMEOUT = 10.0  # seconds after which a server that does not end is killed


@contextmanager
def running_mlflow(
    arguments: Sequence[str], settings: Mapping[str, str], host: str, port: int, shows_output: bool = False
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run MLflow's server for the length of a block.

    Args:
        arguments: of the command `mlflow`, without host and port. Everybody on the machine can read them.
        settings: environment variables of the server, besides those of this process.
        host: address to listen on. If it is a wildcard (`0.0.0.0`), the address that is yielded has the machine's name.
        port: port to listen on.
        shows_output: let the server write to the terminal; otherwise an error has its last line.

    Yields:
        Its address, once it answers there, and its process. All processes of the server have ended after the block.

    Raises:
        UserError: the server does not start.
        UsageError: the port is taken, or the host is not an address of this machine.
    """
    check_port(host, port)
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            [*command(arguments), "--host", host, "--port", str(port)],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=None if shows_output else output,
            stderr=None if shows_output else subprocess.STDOUT,
            start_new_session=True,  # one process group, so that no process is left behind
        )
        try:
            _wait_until_ready(server, address_of("127.0.0.1" if host in WILDCARDS else host, port), output)
            yield address_of(socket.gethostname() if host in WILDCARDS else host, port), server
        finally:
            _stop(server)


@contextmanager
def until_interrupted() -> Iterator[Callable[[subprocess.Popen[bytes]], int]]:
    """Let Ctrl-C end a block silently, and SIGTERM end it and then the command, as a batch system expects.

    Yields:
        What waits for the end of a process and returns its exit code. It also ends the block for a SIGTERM that came
        earlier: MLflow and what it imports swallow exceptions here and there, also the one that a signal raises.
    """
    received: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise SystemExit(128 + number)

    def wait(process: subprocess.Popen[bytes]) -> int:
        while not received:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(POLL_SECONDS)
        raise SystemExit(128 + received[0])

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield wait
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command line of this environment's MLflow."""
    return [sys.executable, "-m", "mlflow", *arguments]


def access_settings(host: str, port: int) -> dict[str, str]:
    """Return the environment variables that say whom the server answers; what is in the environment wins.

    By default, MLflow only answers browsers on this machine and in private networks, and no page from elsewhere can use
    a browser to change the runs. If others may look, every name of this server is allowed, at its port.
    """
    settings = {"MLFLOW_DISABLE_TELEMETRY": SETTINGS["MLFLOW_DISABLE_TELEMETRY"]}
    if host not in LOOPBACK:
        settings["MLFLOW_SERVER_ALLOWED_HOSTS"] = f"*:{port}"
        settings["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://*:{port}"
    settings = {name: os.environ.get(name, value) for name, value in settings.items()}
    return settings | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # evaluation jobs of language models


def address_of(host: str, port: int) -> str:
    """Return the address of a web server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken, and a host that is no address of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Like the server: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            raise UsageError(f"--host {host}: {error.strerror}") from None
        except OSError as error:
            advice = "this machine has no such address" if error.errno == errno.EADDRNOTAVAIL else "choose another"
            raise UsageError(f"port {port} of {host}: {error.strerror}; {advice}") from None


def _wait_until_ready(server: subprocess.Popen[bytes], address: str, output: IO[bytes]) -> None:
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        if server.poll() is not None:
            raise UserError(f"mlflow ended with {server.returncode}: {_last_line(output)}")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UserError(f"mlflow did not answer at {address} within {START_TIMEOUT:.0f} s: {_last_line(output)}")


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()
    return redact(lines[-1]) if lines else "its output says why"


def _stop(server: subprocess.Popen[bytes]) -> None:
    for kill in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, kill)
            server.wait(STOP_TIMEOUT)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
