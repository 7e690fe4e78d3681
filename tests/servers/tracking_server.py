"""A real MLflow server that a test can kill and start again at the same address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.servers.ports import free_port

START_TIMEOUT = 120.0  # seconds


class TrackingServer:
    """`mlflow server`, run as a person would run it; a context manager that starts it and ends it.

    Attributes:
        uri: its address; it stays the same when the server is started again.
        log: the file with its output.
    """

    def __init__(self, store: str, artifacts: str, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """Describe a server.

        Args:
            store: URI of the database.
            artifacts: URI of a folder or bucket; the server reads and writes it for its clients.
            folder: where its output goes.
            environment: what it has besides the environment of the tests.
        """
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"mlflow_{self.port}.log"
        # A server must not take another one for its own store.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self._environment = {
            **inherited,
            "MLFLOW_BACKEND_STORE_URI": store,
            "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert not self.is_running()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_TIMEOUT
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise AssertionError(self.log.read_text())
            time.sleep(0.1)

    def is_running(self) -> bool:
        """Tell whether it was started and neither killed nor has ended by itself."""
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Tell whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def processes(self) -> list[int]:
        """Return the ids of its processes."""
        import psutil

        assert self._process is not None
        own = psutil.Process(self._process.pid)
        return [own.pid, *(child.pid for child in own.children(recursive=True))]

    def kill(self) -> None:
        """End it as a lost machine does, all its processes at once."""
        assert self._process is not None
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def __enter__(self) -> TrackingServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
