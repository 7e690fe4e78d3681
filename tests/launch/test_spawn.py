"""Processes that one starts: whichever dies first, the others end, and the user gets a line."""

from __future__ import annotations

import sys
import time

import pytest

from vclr.launch import spawn

DIES = """
import os, signal, sys, time
if os.environ["RANK"] == sys.argv[1]:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_dies_before_the_others_notice_ends_them(
    number: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(spawn, "PROGRAM", [sys.executable, "-c", DIES])
    monkeypatch.setattr(spawn, "GRACE", 0.5)
    started = time.monotonic()
    assert spawn.run_processes([str(number)], 2) == 128 + 9
    assert time.monotonic() - started < 20
    said = f"vclr: process {number} was killed by SIGKILL, and the others did not end by themselves"
    assert capfd.readouterr().err.splitlines() == [said]


@pytest.mark.parametrize(
    ("visible", "seen"), [(None, ["0", "1"]), ("", ["", ""]), ("5,7", ["5", "7"]), ("5", ["5", "5"])]
)
def test_each_command_sees_a_gpu_of_its_own_and_none_that_is_hidden(
    visible: str | None, seen: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    show = "import os, sys; print(sys.argv[1], os.environ['CUDA_VISIBLE_DEVICES'])"
    monkeypatch.setattr(spawn, "PROGRAM", [sys.executable, "-c", show])
    assert spawn.run_commands([["a"], ["b"]]) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == [
        f"{name} {gpu}" for name, gpu in zip("ab", seen, strict=True)
    ]
