"""What a training does when a step does not fit into memory: the same step, with fewer images at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar, cast

import torch

from vclr.engine.distributed import world_size
from vclr.engine.state import TrainState
from vclr.errors import UserError, first_line, is_out_of_memory
from vclr.ops.constants import forget_constants
from vclr.structures import Batch

T = TypeVar("T")
log = logging.getLogger("vclr.train")

ADVICE = "a smaller dataloader.train.total_batch_size, train.amp.enabled=True or a smaller max_size needs less"


def within_memory(state: TrainState, batch: Batch, compute: Callable[[], T]) -> T:
    """Compute something; if memory runs out, again in a way that needs less, which the state keeps to.

    Fewer images go through backbone and encoder at once, and what their layers computed is computed again for the
    gradient (`train.micro_batch_size`): the same numbers, later.

    Args:
        state: of the training.
        batch: what it is computed of.
        compute: leaves the state as it was if it raises.

    Raises:
        UserError: there is too little memory even so; or this is one of several processes, of which the others cannot
            go back.
    """
    while True:
        result, reason = _attempt(compute)
        if not reason:
            return cast(T, result)
        _forget_attempt(state.student.pixel_mean.device)
        if world_size() > 1:
            raise UserError(f"out of memory ({reason}); set train.micro_batch_size=1, or {ADVICE}") from None
        if not state.use_less_memory(batch.image_sizes):
            raise UserError(f"out of memory, even one image at a time ({reason}); {ADVICE}")
        log.warning(
            "iteration %d: out of memory; from now on %d images at once, and layers computed twice: the same results",
            *(state.iteration, state.images_at_once),
        )


def or_refuse(compute: Callable[[], T]) -> T:
    """Compute what cannot be taken back and done again in less memory.

    Raises:
        UserError: memory runs out.
    """
    result, reason = _attempt(compute)
    if reason:
        raise UserError(f"out of memory while the weights are updated ({reason}); {ADVICE}")
    return cast(T, result)


def _attempt(compute: Callable[[], T]) -> tuple[T | None, str]:
    """Return the result, or what was said when memory ran out; the error itself holds all that had been computed."""
    try:
        return compute(), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None, first_line(error)


def _forget_attempt(device: torch.device) -> None:
    """Give back the memory of a step that failed.

    What a failed backward pass had still to do stays in the queue of autograd, with its part of the graph, until the
    next pass goes through that queue.
    """
    torch.zeros((), requires_grad=True, device=device).mul(1).backward()
    forget_constants()
    if device.type == "cuda":
        torch.cuda.empty_cache()
