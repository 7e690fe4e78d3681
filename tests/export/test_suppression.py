"""Suppression in tensor operations: the same choice as the greedy one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vclr.export.packages import quiet_exporters
from vclr.export.suppression import keep_best
from vclr.ops.nms import nms

THRESHOLD = 0.5


class Suppression(nn.Module):
    def forward(self, boxes: Tensor) -> Tensor:
        return keep_best(boxes, THRESHOLD)


@pytest.fixture(scope="module")
def suppress() -> nn.Module:
    with quiet_exporters():
        return torch.export.export(Suppression(), (torch.rand(3, 40, 4),), strict=False).module()


@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_keeps_what_the_greedy_pass_keeps(suppress: nn.Module, spread: float):
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        centers = 0.5 + spread * (torch.rand(3, 40, 2, generator=generator) - 0.5)
        sides = 0.1 + 0.2 * torch.rand(3, 40, 2, generator=generator)
        boxes = torch.cat([centers - sides / 2, centers + sides / 2], -1)
        boxes[0, 3] = boxes[0, 7]  # equal boxes
        boxes[1, 5, 2:] = boxes[1, 5, :2]  # a box without area suppresses nothing
        falling = torch.arange(40, 0, -1.0)
        for image, kept in zip(boxes, suppress(boxes), strict=True):
            assert kept.nonzero()[:, 0].tolist() == nms(image, falling, THRESHOLD).tolist()


def test_a_long_chain_is_decided_to_its_end(suppress: nn.Module):
    """Each box overlaps the next one only, so that every second one stays, and each rank depends on all before."""
    left = 0.3 * torch.arange(40.0)
    boxes = torch.stack([left, torch.zeros(40), left + 1, torch.ones(40)], -1).expand(3, -1, -1)
    assert suppress(boxes)[0].tolist() == [rank % 2 == 0 for rank in range(40)]
