"""The command `vclr serve`: mistakes are one line, 20 uploads at once leave no memory and no file, signals end it."""

from __future__ import annotations

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import psutil
import pytest
import requests
from typer.testing import CliRunner

from tests.serve.running import command, encode, half_request, picture, post
from tests.servers.ports import free_port
from vclr.cli import app
from vclr.errors import UserError
from vclr.serve.detectors import name_checkpoints

MEGABYTES = 1e6


def misuse(*arguments: str | Path) -> str:
    """Return the line with which the command refuses its arguments."""
    error = CliRunner().invoke(app, ["serve", *map(str, arguments)]).exception
    assert isinstance(error, UserError), error
    return str(error)


def test_mistakes_are_one_line(checkpoints: list[Path], tmp_path: Path):
    three = [text for path in (*checkpoints, checkpoints[0]) for text in ("--checkpoint", path)]
    assert misuse(*three) == "--checkpoint: the page compares at most 2; 3 are given"
    one = ["--checkpoint", checkpoints[0], "--port", free_port()]
    assert misuse(*one, "--token", "short") == "--token: needs at least 8 characters"
    assert misuse(*one, "--host", "192.0.2.7").endswith("this machine has no such address")
    assert misuse("--checkpoint", tmp_path / "none.pt", *one[2:]).startswith(f"{tmp_path}/none.pt: ")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert misuse(*one[:2], "--port", port) == f"port {port} of 127.0.0.1: Address already in use; choose another"


def test_checkpoints_are_named_by_what_tells_them_apart():
    named = name_checkpoints([Path("/home/me/runs/demo/seed0/checkpoints/last.pt"), Path("runs/demo/seed1")])
    assert named == ["demo/seed0", "demo/seed1"]
    assert name_checkpoints([Path("/a/b/model_final.pth")]) == ["b/model_final"]
    assert name_checkpoints([Path("x/demo/seed0"), Path("y/demo/seed0")]) == ["x/demo/seed0", "y/demo/seed0"]
    assert name_checkpoints([Path("last.pt")] * 2) == ["last (1)", "last (2)"]
    steps = name_checkpoints([Path("demo/seed0/checkpoints/00000300.pt"), Path("demo/seed0/checkpoints/last.pt")])
    assert steps == ["seed0/00000300", "demo/seed0"]


def idle_bytes(process: psutil.Process) -> int:
    """Return the memory of a process when it has not changed for a second."""
    before, now = 0, 1
    while abs(now - before) > MEGABYTES:
        time.sleep(1)
        before, now = now, process.memory_info().rss
    return now


@pytest.mark.slow
def test_twenty_uploads_at_once(checkpoints: list[Path], tmp_path: Path):
    photo = encode(picture(1600, 1200), "JPEG")
    with command("--checkpoint", checkpoints[0], folder=tmp_path / "own") as (process, address):
        server = psutil.Process(process.pid)
        expected = post(address, photo).content
        before = idle_bytes(server)
        with ThreadPoolExecutor(20) as visitors:
            answers = [*visitors.map(lambda _: post(address, photo), range(20))]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.content for answer in answers} == {expected}
        assert idle_bytes(server) < before + 30 * MEGABYTES
        assert [path.name for path in (tmp_path / "own").rglob("*")] == ["tmp"], "no upload is kept"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout and process.stdout.read().strip() == "vclr serve: stopped"


@pytest.mark.slow
@pytest.mark.parametrize("own", [(), ("--token", "ab+cd/ef&g#h%41==")], ids=["random token", "own token"])
def test_signal_ends_it_at_once_and_others_need_the_token(
    own: tuple[str, ...], checkpoints: list[Path], tmp_path: Path
):
    given = ("--checkpoint", checkpoints[0], "--host", "0.0.0.0", *own)
    with command(*given, folder=tmp_path / "own") as (process, address):
        bare, _, shown = address.partition("/?token=")
        token = unquote(shown)
        here = f"http://127.0.0.1:{bare.rpartition(':')[2]}"
        assert token == own[1] if own else len(token) > 20
        assert requests.get(f"{here}/?token={shown}", timeout=9).status_code == 200
        assert bare.removeprefix("http://").rpartition(":")[0] == socket.gethostname()
        photo, bearer = encode(picture()), {"Authorization": f"Bearer {token}"}
        for path in ("", "/page.js", "/api/queue/test"):
            assert requests.get(here + path, timeout=9).status_code == 401
        for wrong in ({}, {"Authorization": f"Bearer {token}x"}, {"Cookie": f"vclr-token-{here[-5:]}=x"}):
            assert post(here, photo, **wrong).status_code == 401
        visitor = requests.Session()
        assert visitor.get(here, params={"token": token}, timeout=9).status_code == 200
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())}
        for known in (cookie, bearer):
            assert post(here, photo, **known).status_code == 200
            assert post(here, photo, **known, Origin=here).status_code == 200
            for foreign in ({"Origin": "http://a.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
                assert post(here, photo, **known, **foreign).status_code == 403
        client = half_request(here)
        process.terminate()
        started = time.monotonic()
        assert process.wait(10) == 128 + signal.SIGTERM and time.monotonic() - started < 2
        client.close()
