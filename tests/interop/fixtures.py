"""detectron2 for tests: programs that run in a process of their own, with the built folder on their path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.detectron2_build import CannotBuildError, build, environment


def need_detectron2() -> Path:
    """Return the folder with detectron2; skip the test, with the reason, where it cannot be built."""
    try:
        return build()
    except CannotBuildError as error:
        pytest.skip(f"detectron2 cannot be built: {error}")


def run_python(code: str, *arguments: str, timeout: float = 240) -> str:
    """Run a program in a process that can import detectron2 and vclr; return what it prints."""
    need_detectron2()
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout)
    assert not ended.returncode, ended.stderr[-4000:]
    return ended.stdout


def run_vclr(*arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run `vclr` in a process that can import detectron2."""
    need_detectron2()
    command = [sys.executable, "-m", "vclr.cli", *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout)
