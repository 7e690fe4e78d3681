"""The rest of a machine with GPUs: what torch's Python code says about them."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils import _foreach_utils

from tests.cuda.generators import Generator
from tests.cuda.machine import Machine
from tests.cuda.tensor import GpuTensor

NAME = "Pretended GPU"


def pretend(machine: Machine, num_devices: int = 1, has_engine_thread: bool = False) -> None:
    """Change torch for the rest of this process.

    Args:
        machine: what computes.
        num_devices: of CUDA; the environment of the process says the same in `VCLR_PRETENDED_GPUS`.
        has_engine_thread: backward passes run in a thread of the autograd engine's, as on a GPU, where the lines of the
            package that they come from are not seen. Without it, in the thread that asks for them.
    """
    for name, value in {**_what_cuda_says(machine, num_devices), **_streams(machine)}.items():
        setattr(torch.cuda, name, value)
    torch.backends.cuda.is_built = lambda: True
    torch.version.cuda = "12.8"
    torch.Generator = Generator
    torch.Tensor.pin_memory = lambda self, *_: _pin(machine, self)
    torch.Tensor.is_pinned = lambda self, *_: machine.is_pinned(self)
    torch.autograd.set_multithreading_enabled(has_engine_thread)
    # Module.to cannot write a tensor of another class into a parameter's place.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # Lists of tensors are computed together on a GPU, of which torch makes sure by the class.
    for module in (_foreach_utils, torch.nn.utils.clip_grad):
        module._has_foreach_support = lambda tensors, device: True
    _use_gloo()


def _what_cuda_says(machine: Machine, num_devices: int) -> dict[str, Any]:
    of_thread = threading.local()

    def set_device(device: Any) -> None:
        of_thread.current = device if isinstance(device, int) else torch.device(device).index or 0

    def reset_peak(*_: Any) -> None:
        machine.memory.peak = machine.memory.live

    properties = SimpleNamespace(
        name=NAME, total_memory=machine.memory.capacity, major=9, minor=0, multi_processor_count=132
    )
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "device_count": lambda: num_devices,
        "current_device": lambda: getattr(of_thread, "current", 0),
        "set_device": set_device,
        "get_device_name": lambda *_: NAME,
        "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: (properties.major, properties.minor),
        "is_bf16_supported": lambda *_, **__: True,
        "is_current_stream_capturing": lambda: False,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "empty_cache": lambda: None,
        "memory_allocated": lambda *_: machine.memory.live,
        "memory_reserved": lambda *_: machine.memory.live,
        "max_memory_allocated": lambda *_: machine.memory.peak,
        "max_memory_reserved": lambda *_: machine.memory.peak,
        "reset_peak_memory_stats": reset_peak,
        "mem_get_info": lambda *_: (machine.memory.capacity - machine.memory.live, machine.memory.capacity),
    }


def _streams(machine: Machine) -> dict[str, Any]:
    timeline = machine.timeline
    return {
        "Stream": timeline.stream_class,
        "Event": timeline.event_class,
        "stream": timeline.use,
        "current_stream": timeline.current,
        "default_stream": lambda *_: timeline.default,
        "synchronize": lambda *_: timeline.host_waits("cuda.synchronize", _all_work(machine)),
    }


def _all_work(machine: Machine) -> dict[int, int]:
    return {stream.number: stream.launched for stream in machine.timeline.streams}


def _pin(machine: Machine, tensor: Tensor) -> Tensor:
    if isinstance(tensor, GpuTensor):
        raise RuntimeError("cannot pin: only dense CPU tensors can be pinned")
    pinned = tensor.clone()
    machine.pin(pinned)
    return pinned


def _use_gloo() -> None:
    """Let processes talk through gloo, whatever they ask for: there is no NCCL here."""
    join, make_group = distributed.init_process_group, distributed.new_group

    def join_with_gloo(backend: str | None = None, *args: Any, **options: Any) -> None:
        options.pop("device_id", None)
        join("gloo", *args, **options)

    def make_group_with_gloo(*args: Any, **options: Any) -> Any:
        return make_group(*args, **{**options, "backend": "gloo"})

    distributed.init_process_group = join_with_gloo
    distributed.new_group = make_group_with_gloo
