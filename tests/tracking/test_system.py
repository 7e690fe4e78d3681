"""The load of the machine is measured without claiming memory on GPUs that others use."""

from __future__ import annotations

import pytest
import torch

from vclr import nvml
from vclr.nvml import GpuLoad
from vclr.tracking.system import sample_system


def of_gpus(sample: dict[str, float]) -> dict[str, float]:
    return {key.removeprefix("system/"): value for key, value in sample.items() if "gpu" in key}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pretend four GPUs, of which this process works on number 1; return those of which CUDA is asked."""
    asked: list[int] = []

    def mem_get_info(index: int) -> tuple[int, int]:
        asked.append(index)  # opens a context there
        return 75_000_000, 100_000_000

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 1000 if index == 1 else 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    return asked


def test_the_driver_tells_of_all_gpus(asked: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nvml, "gpu_load", lambda index: GpuLoad(index * 1_000_000, 8_000_000, 50.0))
    sample = of_gpus(sample_system())
    assert asked == []
    assert [sample[f"gpu_{index}_memory_usage_percentage"] for index in range(4)] == [0, 12.5, 25, 37.5]
    assert sample["gpu_3_utilization_percentage"] == 50


def test_cuda_is_asked_of_the_own_gpu_alone(asked: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nvml, "gpu_load", lambda index: None)
    assert of_gpus(sample_system()) == {"gpu_1_memory_usage_percentage": 25}
    assert asked == [1]


def test_a_training_on_the_cpu_asks_for_no_gpu(asked: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert of_gpus(sample_system()) == {}
