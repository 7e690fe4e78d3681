"""A server with tiny detectors, in this process or as the command itself, and requests to it."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
import uvicorn
from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.servers.ports import free_port
from vclr.config import dump_config, load_config
from vclr.models.build import build_model
from vclr.serve.app import Limits, make_app
from vclr.serve.connections import configure
from vclr.serve.detectors import open_detectors
from vclr.tracking.mlflow_process import LOOPBACK

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "configs" / "experiment" / "demo.yaml"
LIMITS = Limits(max_bytes=1_000_000, max_pixels=4_000_000, max_waiting=32)
HEADERS = {"X-Vclr-Job": "test"}


def write_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Write an untrained detector, as a training would have saved it."""
    config = load_config(DEMO, ["model.num_queries=20", "dataloader.test.mapper.short_edge_length=64"])
    config.train.seed = seed
    state = build_model(config).state_dict()
    path = folder / "checkpoints" / "last.pt"
    path.parent.mkdir(parents=True)
    torch.save({"model": state, "teacher": state, "config": dump_config(config)}, path)
    return path


def picture(width: int = 120, height: int = 80, seed: int = 0) -> Image.Image:
    """Draw a few soft blobs."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


class Recorder:
    """Notes what an application answers, (method, path, status), on its way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.answers = app, []  # type: ignore[var-annotated]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answers.append((scope["method"], scope["path"], message["status"]))
            await send(message)

        await self.app(scope, receive, noting)


@contextmanager
def running(
    checkpoints: list[Path], limits: Limits = LIMITS, token: str = "", all_names: bool = False
) -> Iterator[tuple[str, Recorder]]:
    """Serve checkpoints in a thread; yield the address, and what was answered."""
    port = free_port()
    names = None if all_names else frozenset(LOOPBACK)
    app = Recorder(make_app(open_detectors(checkpoints, "cpu", None, ""), limits, token, names, f"vclr-token-{port}"))
    server = uvicorn.Server(configure(app, port=port))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}", app
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def command(*arguments: str | Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `vclr serve` in a folder, with a folder for temporary files in it; yield the process and the address."""
    (folder / "tmp").mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp")}
    given = [sys.executable, "-m", "vclr.cli", "serve", "--device", "cpu", "--port", str(free_port()), *arguments]
    with subprocess.Popen(
        list(map(str, given)),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        try:
            first = process.stdout.readline()
            found = re.search(r"http://\S+", first)
            assert found, f"{first!r}: no address"
            yield process, found.group()
        finally:
            process.kill()


def post(address: str, data: Any, kind: str = "predict", **headers: str) -> requests.Response:
    return requests.post(f"{address}/api/{kind}", data=data, headers={**HEADERS, **headers}, timeout=60)


@contextmanager
def held_detector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Let detectors wait until the block ends; from now on they find nothing. Yield the sizes of their photos."""
    may_end, looked_at = threading.Event(), []

    def look_slowly(_: Any, photo: Image.Image) -> dict[str, Any]:
        looked_at.append(photo.size)
        assert may_end.wait(60)
        return {"width": photo.width, "height": photo.height, "detectors": []}

    monkeypatch.setattr("vclr.serve.app.find_objects", look_slowly)
    try:
        yield looked_at
    finally:
        may_end.set()


def wait_for_place(address: str, job: str, before: int | None) -> None:
    """Wait until so many jobs are before one; None: until it is gone."""
    until = time.monotonic() + 20
    while requests.get(f"{address}/api/queue/{job}", timeout=9).json()["before"] != before:
        assert time.monotonic() < until, f"{job}: still not {before}"


def whole_request(address: str, photo: bytes, job: str) -> socket.socket:
    """Send a photo, and do not read the answer."""
    client = half_request(address, len(photo), job)
    client.sendall(photo)
    return client


def half_request(address: str, length: int = 1000, job: str = "half") -> socket.socket:
    """Begin to send a photo, but not go on."""
    host, port = address.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)))
    lines = ["POST /api/predict HTTP/1.1", f"Host: {host}:{port}", f"X-Vclr-Job: {job}", f"Content-Length: {length}"]
    client.sendall("\r\n".join([*lines, "", ""]).encode())
    return client
