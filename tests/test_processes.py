"""What processes find out about the machine before they import torch."""

from __future__ import annotations

import os

import pytest

from vclr import processes
from vclr.processes import count_cpus, torch_environment


def test_cores_are_those_that_are_granted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert count_cpus() == 3


@pytest.mark.parametrize("has_driver", [True, False])
def test_warnings_are_hidden_where_no_gpu_can_be(has_driver: bool, monkeypatch: pytest.MonkeyPatch):
    """The driver's library decides, because WSL2 has it but no device files."""

    def load(name: str) -> None:
        assert name == "libcuda.so.1"
        if not has_driver:
            raise OSError("cannot open shared object file")

    monkeypatch.setattr(processes.ctypes, "CDLL", load)
    assert torch_environment() == ({} if has_driver else {"TORCH_CPP_LOG_LEVEL": "ERROR"})
