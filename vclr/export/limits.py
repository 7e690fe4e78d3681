"""What cannot be exported because the check would not fit into memory."""

from __future__ import annotations

from vclr.catalog.exports import MIN_FIXED_SIDE
from vclr.errors import UsageError
from vclr.export.about import About
from vclr.export.parity import BATCHES, choose_sizes
from vclr.host_memory import available_bytes

MASK_STRIDE = 8  # pixels per cell of the mask logits
COPIES = 3  # of mask logits that are in memory together: themselves, their sigmoid, and where they are positive


def check_memory(about: About, num_queries: int) -> None:
    """Refuse a size or a number of images whose masks alone do not fit into the memory that is left.

    Only the memory of a CPU is known; a GPU reports itself that its memory is exhausted.

    Raises:
        UsageError: says how much is needed and left.
    """
    if about.device != "cpu":
        return
    height, width = about.size or choose_sizes(about.short_edge, MIN_FIXED_SIDE)[-1]
    batch = about.batch or max(BATCHES)
    needed = COPIES * 4 * batch * num_queries * (height // MASK_STRIDE) * (width // MASK_STRIDE)
    left = available_bytes()
    if needed > left:
        option = "--size" if about.size and about.batch <= 1 else "--batch"
        raise UsageError(
            f"{option}: the masks of {num_queries} queries on {batch} x {height}x{width} pixels take "
            f"{needed / 1e9:.0f} GB in the check, and {left / 1e9:.0f} GB of memory are left; choose less"
        )
