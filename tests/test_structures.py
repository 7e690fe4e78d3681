"""Batches on their way to a device and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vclr.structures import Batch, Target, to_device


def make_batch() -> Batch:
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    target = Target(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 4), torch.zeros(1, 4, 4, dtype=torch.uint8), 7)
    return Batch(images, images, [(4, 4)], [target], ["natural"])


@pytest.mark.parametrize(("device", "may_be_on_its_way"), [("cpu", False), ("meta", True)])
def test_a_copy_to_the_cpu_is_complete(device: str, may_be_on_its_way: bool, monkeypatch: pytest.MonkeyPatch):
    """Nothing would wait for such a copy; a GPU executes its work in order."""
    asked = []
    to = Tensor.to

    def note(self: Tensor, *arguments: object, non_blocking: bool = False) -> Tensor:
        asked.append(non_blocking)
        return to(self, *arguments, non_blocking=non_blocking)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(Tensor, "to", note)
    moved = to_device(make_batch(), torch.device(device))
    assert asked == [may_be_on_its_way] * 5, "the photo is in the batch twice, and moved once"
    assert moved.teacher_images is moved.images
    assert {tensor.device.type for tensor in moved.tensors()} == {device}
    assert moved.targets[0].image_id == 7
