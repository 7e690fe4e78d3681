"""Run the web server of the page until it is interrupted."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import quote

import uvicorn

from vclr.device import describe_device
from vclr.errors import UsageError
from vclr.serve.app import Limits, make_app
from vclr.serve.connections import configure
from vclr.serve.detectors import open_detectors
from vclr.tracking.mlflow_process import LOOPBACK, WILDCARDS, address_of, check_port

LEAST_TOKEN = 8  # characters
DEFAULT_LIMITS = Limits(max_bytes=20_000_000, max_pixels=64_000_000, max_waiting=32)

log = logging.getLogger("vclr.serve")


class _Server(uvicorn.Server):
    """A server that says where it is once it listens there, and that ends at once when it is told to.

    Whoever still waits for an answer loses the connection: the page says so.
    """

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        print(self._announcement, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the process."""
        if sig == signal.SIGINT:
            print("\nvclr serve: stopped", flush=True)
        _leave(0 if sig == signal.SIGINT else 128 + sig)


def serve(
    checkpoints: Sequence[Path],
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str = "",
    limits: Limits = DEFAULT_LIMITS,
    device: str = "auto",
    config_file: Path | None = None,
    weights: str = "",
) -> None:
    """Serve the page until Ctrl-C or SIGTERM, which end the process.

    Args:
        checkpoints: one, or two to compare; see `open_detector`.
        host: address to listen on. Unless it is this machine alone, visitors need a token.
        port: port to listen on.
        token: what visitors must know; "" draws one if it is needed.
        limits: what visitors may send.
        device: auto, cpu, cuda ...
        config_file: the configuration of weights that hold none.
        weights: student or teacher.

    Raises:
        UsageError: the port is taken, the host is not an address of this machine, or the token is too short.
        UserError: a checkpoint cannot be read.
    """
    is_local = host in LOOPBACK
    if token and len(token) < LEAST_TOKEN:
        raise UsageError(f"--token: needs at least {LEAST_TOKEN} characters")
    with _listen(host, port) as listener:
        if not is_local and not token:
            token = secrets.token_urlsafe(16)
        detectors = open_detectors(checkpoints, device, config_file, weights)
        log.info("serving on %s", describe_device(detectors[0].model.pixel_mean.device, device))
        # Cookies do not depend on the port, but the tokens of two servers do.
        cookie = f"vclr-token-{port}"
        app = make_app(detectors, limits, token, frozenset(LOOPBACK) if is_local else None, cookie)
        shown = address_of(socket.gethostname() if host in WILDCARDS else host, port)
        address = f"{shown}/?token={quote(token, safe='')}" if token else shown
        _Server(configure(app), f"vclr serve: {address} (Ctrl-C ends)").run([listener])


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before the detectors are read, which may take long."""
    check_port(host, port)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UsageError(f"port {port} of {host}: {error.strerror}; choose another") from None
    return listener


def _leave(exit_code: int) -> NoReturn:
    """End the process now: the thread of the detector may be busy for long."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
