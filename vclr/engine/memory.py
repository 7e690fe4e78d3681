"""If a step does not fit into memory, take the same step with fewer images at once."""

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
    """Compute something; if memory runs out, retry in a slower way that needs less, which the state then keeps.

    Fewer images go through backbone and encoder at once, and their layers are computed again for the gradient
    (`train.micro_batch_size`). The results are the same. If `compute` raises, it must leave the state unchanged.

    Raises:
        UserError: memory is too small even so, or this is one of several processes, and the others cannot retry.
    """
    while True:
        result, reason = attempt(compute)
        if not reason:
            return cast(T, result)
        forget_attempt(state.student.pixel_mean.device)
        if world_size() > 1:
            raise UserError(f"out of memory ({reason}); set train.micro_batch_size=1, or {ADVICE}") from None
        if not state.use_less_memory(batch.image_sizes):
            raise UserError(f"out of memory, even one image at a time ({reason}); {ADVICE}")
        log.warning(
            "iteration %d: out of memory; from now on %d images at once, and layers computed twice: the same results",
            *(state.iteration, state.images_at_once),
        )


def or_refuse(compute: Callable[[], object]) -> None:
    """Compute something that cannot be retried with less memory.

    Raises:
        UserError: memory runs out.
    """
    _, reason = attempt(compute)
    if reason:
        raise UserError(f"out of memory while the weights are updated ({reason}); {ADVICE}")


def attempt(compute: Callable[[], T]) -> tuple[T | None, str]:
    """Return the result, or the message if memory ran out; the error itself would keep everything computed alive."""
    try:
        return compute(), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None, first_line(error)


def forget_attempt(device: torch.device) -> None:
    """Release the memory of a step that failed, or that was only a trial.

    The remaining work of a failed backward pass stays in autograd's queue, with its part of the graph, until the next
    pass goes through that queue.
    """
    torch.zeros((), requires_grad=True, device=device).mul(1).backward()
    forget_constants()
    if device.type == "cuda":
        torch.cuda.empty_cache()
