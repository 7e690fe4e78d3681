"""A server, and a data folder that `vclr fetch` fills from it."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fetch.server import FileServer, serve
from vclr.cli import main

ROOT = Path(__file__).parents[2]
LICENSE = {"name": "CC0", "commercial": True, "because": "made up"}
FIXED = {"title": "A source", "homepage": "http://localhost/", "license": LICENSE}
# Nothing of the surroundings reaches a test.
CLEARED = ("HF_HUB_OFFLINE", "VCLR_OFFLINE", "VCLR_MIRROR", "HF_ENDPOINT", "HF_TOKEN")
CLEARED += tuple(f"{name}_proxy" for name in ("http", "https", "all"))
CLEARED += tuple(f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL"))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in CLEARED}
    quick = {"VCLR_FETCH_WAIT": "0.01", "VCLR_FETCH_RETRIES": "2", "VCLR_FETCH_TIMEOUT": "2"}
    return {**own, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "HF_HUB_DISABLE_TELEMETRY": "1", **quick, **more}


class Fetcher:
    """Runs `vclr fetch` with a catalog of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output = folder, folder / "data"
        self.catalog = folder / "catalog.yaml"
        self.lock = folder / "data.lock"

    def write(self, **sources: dict[str, Any]) -> None:
        self.catalog.write_text(yaml.safe_dump({name: {**FIXED, **source} for name, source in sources.items()}))

    def command(self, *arguments: str) -> list[str]:
        start = [sys.executable, "-m", "vclr.cli", "fetch", "--output", str(self.output)]
        return [*start, "--catalog", str(self.catalog), *arguments]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = self.try_to(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        return done

    def try_to(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command in this process, which is quicker than a new one."""
        command, own = self.command(*arguments), environment(**variables)
        out, err, code = io.StringIO(), io.StringIO(), 0
        handler = logging.StreamHandler(err)
        logging.getLogger("vclr").addHandler(handler)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", command[2:])
            for name, value in own.items():
                patch.setenv(name, value)
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        logging.getLogger("vclr").removeHandler(handler)
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    def refused(self, *arguments: str, exit_code: int = 1, **variables: str) -> str:
        """Return the line with which a fetch ends."""
        done = self.try_to(*arguments, **variables)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == exit_code, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("vclr: ")
        return last

    def files(self) -> set[str]:
        """Return what lies in the data folder, locks aside."""
        paths = (path for path in self.output.rglob("*") if path.is_file())
        return {path.relative_to(self.output).as_posix() for path in paths if not path.name.endswith(".lock")}


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path)


@pytest.fixture
def random_bytes() -> Callable[[int], bytes]:
    """Return bytes of which no two blocks are alike."""
    import numpy as np

    return lambda number: np.random.default_rng(number).bytes(number)
