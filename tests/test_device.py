"""The device of a run: how it is chosen and described, and the precision of its products."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from vclr import device
from vclr.device import (
    choose_device,
    describe_device,
    float32_precision,
    use_expandable_segments,
    uses_tf32,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


def switches() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def _switches_as_they_were() -> Iterator[None]:
    before = switches()
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


# --- precision -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tf32", [True, False])
def test_both_switches_are_set_and_set_back(tf32: bool):
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True  # torch's own defaults
    with float32_precision(tf32):
        assert switches() == (tf32, tf32)
        assert uses_tf32() == tf32
        with float32_precision(not tf32):
            assert switches() == (not tf32, not tf32)
        assert switches() == (tf32, tf32)
    assert switches() == (False, True)
    assert not uses_tf32(), "it is on where both switches are"


def test_an_error_sets_them_back_too():
    before = switches()
    with pytest.raises(ValueError, match="x"), float32_precision(tf32=not before[0]):
        raise ValueError("x")
    assert switches() == before


def test_it_decorates_functions():
    @float32_precision(tf32=False)
    def look() -> tuple[bool, bool]:
        return switches()

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    assert [look(), look()] == [(False, False)] * 2
    assert switches() == (True, True)


def test_products_on_a_cpu_stay_as_exact():
    generator = torch.Generator().manual_seed(0)
    matrix, image = torch.randn(64, 64, generator=generator), torch.randn(1, 8, 16, 16, generator=generator)
    kernel = torch.randn(8, 8, 3, 3, generator=generator)

    def compute() -> list[torch.Tensor]:
        return [matrix @ matrix, torch.nn.functional.conv2d(image, kernel)]

    with float32_precision(tf32=True):
        rounded = compute()
    with float32_precision(tf32=False):
        exact = compute()
    assert all(torch.equal(one, other) for one, other in zip(rounded, exact, strict=True))


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda which: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda which: (9, 0))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(device, "driver_version", lambda: "570.1")


@pytest.mark.usefixtures("gpu")
def test_a_gpu_says_what_makes_its_numbers(monkeypatch: pytest.MonkeyPatch):
    with float32_precision(tf32=True):
        assert describe_device(GPU) == "cuda:0 (NVIDIA H200, driver 570.1, CUDA 12.8, TF32 on)"
    with float32_precision(tf32=False):
        assert describe_device(GPU, "cuda:0") == "cuda:0 (NVIDIA H200, driver 570.1, CUDA 12.8, TF32 off)"
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda which: (7, 0))
        assert describe_device(GPU) == "cuda:0 (NVIDIA H200, driver 570.1, CUDA 12.8)"


def test_a_cpu_that_was_asked_for():
    assert describe_device(CPU, "cpu") == "the CPU (as train.device=cpu says)"


def test_a_cpu_that_was_not_says_why(monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check that you have one.")

    begins = "the CPU (no GPU that torch can use: "
    monkeypatch.setattr(torch.version, "cuda", None)
    assert describe_device(CPU) == f"{begins}this torch is built without CUDA)"
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", fail)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert describe_device(CPU) == f"{begins}Found no NVIDIA driver on your system)"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert describe_device(CPU) == f"{begins}CUDA_VISIBLE_DEVICES= hides all GPUs)"


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Pretend to be on Linux, with no allocator configured."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")  # so that it is set back
        monkeypatch.delenv(variable)
    monkeypatch.setattr(device.platform, "system", lambda: "Linux")
    monkeypatch.setattr(device.platform, "release", lambda: "6.8.0-45-generic")
    return monkeypatch


@pytest.mark.parametrize(
    ("version", "variable"),
    [("2.6.0", VARIABLES[1]), ("2.9.1+cu128", VARIABLES[1]), ("2.10.0", VARIABLES[0]), ("2.13.0+cu130", VARIABLES[0])],
)
def test_segments_grow_by_the_name_that_torch_heeds(version: str, variable: str, linux: pytest.MonkeyPatch):
    linux.setattr(torch, "__version__", version)
    use_expandable_segments()
    assert {name: os.environ[name] for name in VARIABLES if name in os.environ} == {
        variable: "expandable_segments:True"
    }


@pytest.mark.parametrize("variable", VARIABLES)
def test_what_the_user_has_said_stays(variable: str, linux: pytest.MonkeyPatch):
    linux.setenv(variable, "max_split_size_mb:64")
    use_expandable_segments()
    assert {name: os.environ[name] for name in VARIABLES if name in os.environ} == {variable: "max_split_size_mb:64"}


@pytest.mark.parametrize(
    ("system", "release"), [("Windows", "11"), ("Linux", "5.15.153.1-microsoft-standard-WSL2")], ids=["Windows", "WSL2"]
)
def test_not_where_there_are_none(system: str, release: str, linux: pytest.MonkeyPatch):
    linux.setattr(device.platform, "system", lambda: system)
    linux.setattr(device.platform, "release", lambda: release)
    use_expandable_segments()
    assert not os.environ.keys() & set(VARIABLES)


def test_set_before_cuda_is_used(linux: pytest.MonkeyPatch):
    seen: list[bool] = []

    def empty(*_: object, device: str) -> torch.Tensor:
        seen.append(bool(os.environ.keys() & set(VARIABLES)))
        return torch.zeros(0)

    linux.setattr(torch, "empty", empty)
    linux.setattr(torch.cuda, "is_available", lambda: True)
    choose_device("cuda:1")
    choose_device("cuda")
    assert seen == [True, True]
