"""Out of memory: the same step again, with fewer images at once."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor

from vclr.config import Config
from vclr.data.loader import TrainingLoader
from vclr.data.samples import TrainingSamples
from vclr.engine.state import TrainState
from vclr.engine.step import training_step
from vclr.errors import UserError, explain, is_out_of_memory
from vclr.losses.objective import Objective
from vclr.models.decoder import Decoder
from vclr.models.resnet import Backbone

MakeConfig = Callable[..., Config]


def take_steps(config: Config, count: int = 2) -> TrainState:
    state = TrainState(config, torch.device("cpu"))
    objective = Objective(config.model.criterion)
    for batch in islice(TrainingLoader(config, TrainingSamples(config)), count):
        training_step(state, batch, objective)
    return state


def fail_above(monkeypatch: pytest.MonkeyPatch, num_images: int, error: type[Exception]) -> None:
    """Let the backbone run out of memory where it gets more images at once."""
    forward = Backbone.forward

    def limited(self: Backbone, groups: list[Tensor]) -> list[list[Tensor]]:
        if sum(map(len, groups)) > num_images:
            raise error("DefaultCPUAllocator: can't allocate memory: you tried to allocate a lot")
        return forward(self, groups)

    monkeypatch.setattr(Backbone, "forward", limited)


def test_images_of_different_sizes_go_one_by_one_at_once(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """There is nothing between all together and each alone."""
    sizes = ["dataloader.train.mapper.short_edge_length=[48,64,80]", "dataloader.train.total_batch_size=4"]
    fail_above(monkeypatch, 1, torch.OutOfMemoryError)
    with caplog.at_level(logging.WARNING, "vclr"):
        state = take_steps(make_config(*sizes), count=1)
    assert state.images_at_once == 1
    assert sum("out of memory" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_memory_that_runs_out_after_the_backward_pass(
    dtype: str, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    """The gradient scaler of float16 has unscaled gradients by then, which is forgotten with them."""
    get_norm, calls = torch.nn.utils.get_total_norm, []

    def fail_once(*arguments: Any) -> Tensor:
        calls.append(1)
        return _out_of_memory(arguments[0][0]) if len(calls) == 1 else get_norm(*arguments)

    monkeypatch.setattr(torch.nn.utils, "get_total_norm", fail_once)
    state = take_steps(make_config("train.amp.enabled=True", f"train.amp.dtype={dtype}"), count=2)
    assert (state.iteration, state.images_at_once, len(calls)) == (2, 1, 3)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize("num_images", [1, 2])
def test_the_same_step_in_less_memory(
    num_images: int,
    error: type[Exception],
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    config = make_config("dataloader.train.total_batch_size=4")
    straight = take_steps(config)
    fail_above(monkeypatch, num_images, error)
    with caplog.at_level(logging.WARNING, "vclr"):
        state = take_steps(config)
    assert [record.getMessage() for record in caplog.records if "out of memory" in record.getMessage()][-1].startswith(
        f"iteration 0: out of memory; from now on {num_images} images at once"
    )
    assert state.images_at_once == num_images
    for (name, value), other in zip(
        state.student.state_dict().items(), straight.student.state_dict().values(), strict=True
    ):
        if "num_batches_tracked" in name:
            assert torch.equal(value, other)
        # Adam's first steps are as long for a gradient of rounding noise as for any other.
        assert (value - other).abs().max() <= 4.1 * config.optimizer.lr, name
    running = "mask_branch.mapping.1.running_var"
    torch.testing.assert_close(
        state.student.state_dict()[running], straight.student.state_dict()[running], rtol=1e-3, atol=1e-6
    )


def test_nothing_helps(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    fail_above(monkeypatch, 0, torch.OutOfMemoryError)
    with pytest.raises(UserError, match="out of memory, even one image at a time"):
        take_steps(make_config())


def test_other_errors_pass(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    def fail(self: Backbone, groups: list[Tensor]) -> list[list[Tensor]]:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Backbone, "forward", fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        take_steps(make_config())


def test_nothing_of_a_failed_attempt_is_left_when_it_is_made_again(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    """Also of a backward pass, whose undone part autograd keeps in its queue until the next one."""
    kept: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []
    forward = Decoder.forward

    def fail_in_backward(self: Decoder, *arguments: Any) -> tuple[list[Tensor], list[Tensor]]:
        states, boxes = forward(self, *arguments)
        if torch.is_grad_enabled():
            gc.collect()
            alive.extend(reference() is not None for reference in kept)
            if not kept:
                states[-1].register_hook(_out_of_memory)
                kept.append(weakref.ref(states[0]))
        return states, boxes

    monkeypatch.setattr(Decoder, "forward", fail_in_backward)
    take_steps(make_config(), count=1)
    assert alive == [False]


def _out_of_memory(gradient: Tensor) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_out_of_memory_in_the_optimizer_is_one_line(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_, **__: _out_of_memory(torch.zeros(())))
    with pytest.raises(UserError, match="out of memory while the weights are updated .CUDA out of memory"):
        take_steps(make_config())


def test_what_torch_says_is_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "GET was unable to find an engine to execute this computation",
        "NCCL error: unhandled cuda error ... Cuda failure 2 'out of memory'",
    ],
)
def test_what_cuda_libraries_say_is_known(text: str):
    assert is_out_of_memory(RuntimeError(text))
    assert explain(RuntimeError(f"{text}\nmore")) == (f"not enough memory: {text}", 1)
