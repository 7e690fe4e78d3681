"""The teacher: a second detector whose weights are the moving average of the student's."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vclr.models.detector import Detector
from vclr.structures import Outputs, Size


class Teacher:
    """A detector that is built from the student, updated after each step, and called without gradient."""

    def __init__(self, student: Detector, momentum: float) -> None:
        # In training mode, as in the reference: mixed precision reaches all of it.
        self.detector = copy.deepcopy(student).requires_grad_(False).train()
        self.momentum = momentum

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Move every parameter and buffer towards the student's: t <- m t + (1 - m) s."""
        own, new = self.detector.state_dict(), student.state_dict()
        floating = [key for key, value in own.items() if value.is_floating_point()]
        averages = [own[key] for key in floating]
        torch._foreach_mul_(averages, self.momentum)
        torch._foreach_add_(averages, [new[key] for key in floating], alpha=1 - self.momentum)
        for key in own.keys() - set(floating):
            # Counters: averaged like the rest and cut to whole numbers, as the reference does.
            own[key].copy_(own[key] * self.momentum + new[key] * (1 - self.momentum))

    @torch.no_grad()
    def __call__(self, images: Tensor, image_sizes: list[Size]) -> Outputs:
        """Compute the queries of normalized images (b, 3, h, w), without masks: no loss compares them."""
        return self.detector(images, image_sizes, with_masks=False)  # type: ignore[no-any-return]
