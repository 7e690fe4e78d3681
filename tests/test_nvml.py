"""NVML: GPUs are found by UUID, and failures give no value instead of an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vclr import nvml


class NVMLError(Exception):
    pass


class Driver:
    """Two GPUs with their UUIDs, which torch numbers in reverse order."""

    NVMLError = NVMLError
    names = ("GPU-a", "GPU-b")

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "570.1"

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:  # noqa: N802
        if name not in self.names:
            raise NVMLError("not found")
        return name

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(used=10 if handle == "GPU-a" else 20, total=100)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=7, memory=3)


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    uuids = ("b", "a", "MIG")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))
    nvml._library.cache_clear()
    yield
    nvml._library.cache_clear()


def test_a_gpu_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", Driver())  # type: ignore[arg-type]
    assert nvml.driver_version() == "570.1"
    assert nvml.gpu_load(0) == nvml.GpuLoad(used=20, total=100, utilization=7)
    assert nvml.gpu_load(1) == nvml.GpuLoad(used=10, total=100, utilization=7)
    assert nvml.gpu_load(2) is None


def test_without_a_driver_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise NVMLError("driver not loaded")

    driver = Driver()
    driver.nvmlInit = fail  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "pynvml", driver)  # type: ignore[arg-type]
    assert nvml.driver_version() is None
    assert nvml.gpu_load(0) is None


def test_without_the_package_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.driver_version() is None
