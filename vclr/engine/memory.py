"""What a training does when a step does not fit into memory: the same step, with fewer images at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from vclr.engine.distributed import world_size
from vclr.engine.state import TrainState
from vclr.errors import UserError

T = TypeVar("T")
log = logging.getLogger("vclr.train")

ADVICE = "a smaller dataloader.train.total_batch_size, train.amp.enabled=True or a smaller max_size needs less"


def within_memory(state: TrainState, compute: Callable[[], T]) -> T:
    """Compute something; where memory runs out, again in a way that needs less, which the state keeps to.

    Fewer images go through backbone and encoder at once, and what their layers computed is computed again for the
    gradient (`train.micro_batch_size`): the same numbers, later.

    Args:
        state: of the training.
        compute: leaves the state as it was where it raises.

    Raises:
        UserError: there is too little memory even so; or this is one of several processes, of which the others cannot
            go back.
    """
    while True:
        try:
            return compute()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else "out of memory"
        # Outside of the handler, which holds what the failed attempt had computed.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if world_size() > 1:
            raise UserError(f"out of memory ({reason}); set train.micro_batch_size=1, or {ADVICE}") from None
        if not state.use_less_memory():
            raise UserError(f"out of memory, even one image at a time ({reason}); {ADVICE}") from None
        log.warning(
            "iteration %d: out of memory; from now on %d images at once, and layers computed twice: the same results",
            *(state.iteration, state.images_at_once),
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Tell torch's ways to say that memory ran out, on a GPU or not, from other errors."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
