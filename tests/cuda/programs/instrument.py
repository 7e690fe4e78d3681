"""What the pretended GPU itself must notice, one small program after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from tests.cuda.machine import Machine


def main(machine: Machine) -> dict[str, Any]:
    """Return for each case the notes, what it returned, and the error that it raised."""
    results = {}
    for case in CASES:
        machine.notes.take()
        value, error = None, ""
        try:
            value = case()
        except (RuntimeError, TypeError) as raised:
            error = str(raised)
        results[case.__name__] = {"value": value, "error": error, "notes": machine.notes.take()}
    return results


def add_a_cpu_tensor() -> None:
    torch.ones(3, device="cuda") + torch.ones(3)


def add_a_number_of_the_cpu() -> list[float]:
    return (torch.ones(3, device="cuda") + torch.tensor(2.0)).tolist()


def write_a_gpu_tensor_into_one_of_the_cpu() -> None:
    torch.zeros(3).add_(torch.ones(3, device="cuda"))


def draw_with_a_generator_of_the_cpu() -> None:
    torch.rand(3, device="cuda", generator=torch.Generator())


def draw_with_a_generator_of_the_gpu() -> None:
    torch.rand(3, generator=torch.Generator("cuda"))


def read_an_array() -> None:
    torch.ones(3, device="cuda").numpy()


def two_gpus() -> None:
    torch.ones(3, device="cuda:0") + torch.ones(3, device="cuda:1")


def read_a_number() -> float:
    return torch.ones(3, device="cuda").sum().item()


def ask_where() -> None:
    torch.arange(3, device="cuda").nonzero()


def choose_by_a_mask() -> None:
    values = torch.arange(3, device="cuda")
    values[values > 1]


def choose_by_indices_of_the_cpu() -> None:
    torch.arange(3, device="cuda")[torch.tensor([0, 2])]


def make_a_tensor_of_numbers() -> None:
    torch.tensor([1.0, 2.0], device="cuda")


def send_pinned() -> list[float]:
    sent = torch.ones(100_000).pin_memory().to("cuda", non_blocking=True)
    return [float(sent.is_cuda)]


def send_little_that_is_not_pinned() -> None:
    torch.ones(3).to("cuda", non_blocking=True)


def send_much_that_is_not_pinned() -> None:
    torch.ones(100_000).to("cuda", non_blocking=True)


def read_too_early() -> list[float]:
    return torch.ones(2, device="cuda").to("cpu", non_blocking=True).tolist()


def read_after_an_event() -> list[float]:
    copied = torch.ones(2, device="cuda").to("cpu", non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    event.synchronize()
    return copied.tolist()


def read_after_an_event_before_the_copy() -> list[float]:
    ones = torch.ones(2, device="cuda")
    event = torch.cuda.Event()
    event.record()
    copied = ones.to("cpu", non_blocking=True)
    event.synchronize()
    return copied.tolist()


def use_on_another_stream() -> None:
    with torch.cuda.stream(torch.cuda.Stream()):
        sent = torch.ones(3).pin_memory().to("cuda", non_blocking=True)
    sent + 1


def use_on_another_stream_after_it() -> None:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        sent = torch.ones(3).pin_memory().to("cuda", non_blocking=True)
    torch.cuda.current_stream().wait_stream(stream)
    sent + 1


def mix_precisions() -> list[str]:
    """CUDA's lists, not the CPU's: layer norm and softmax leave float32."""
    x = torch.ones(2, 4, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        projected = functional.linear(x, torch.ones(4, 4, device="cuda"))
        normed = functional.layer_norm(projected, (4,))
        return [str(value.dtype) for value in (projected, normed, projected.softmax(-1))]


CASES: list[Callable[[], Any]] = [
    add_a_cpu_tensor,
    add_a_number_of_the_cpu,
    write_a_gpu_tensor_into_one_of_the_cpu,
    draw_with_a_generator_of_the_cpu,
    draw_with_a_generator_of_the_gpu,
    read_an_array,
    two_gpus,
    read_a_number,
    ask_where,
    choose_by_a_mask,
    choose_by_indices_of_the_cpu,
    make_a_tensor_of_numbers,
    send_pinned,
    send_little_that_is_not_pinned,
    send_much_that_is_not_pinned,
    read_too_early,
    read_after_an_event,
    read_after_an_event_before_the_copy,
    use_on_another_stream,
    use_on_another_stream_after_it,
    mix_precisions,
]
