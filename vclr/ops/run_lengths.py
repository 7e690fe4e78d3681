"""Run lengths of masks, computed on the device of the masks: they are far smaller than the masks."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def run_lengths(masks: Tensor) -> list[list[int]]:
    """Return the lengths of the runs of equal pixels in each mask, column by column, zeros first, as in COCO's RLE.

    Args:
        masks: (n, h, w) bool.
    """
    pixels = masks.transpose(1, 2).flatten(1)
    changes = pixels != functional.pad(pixels, (1, -1))  # a pixel differs from the one before it, the first from zero
    ends = functional.pad(changes, (0, 1), value=True)
    places = ends.nonzero()[:, 1].cpu()
    counts = ends.sum(dim=1).tolist()
    return [part.diff(prepend=part.new_zeros(1)).tolist() for part in places.split(counts)]
