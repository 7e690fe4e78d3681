from __future__ import annotations

import pytest

from tests.interop.fixtures import run_python

OPERATORS = """
import sys, torch, torchvision.ops
from torchvision.ops import boxes
module = sys.modules["torchvision.ops.roi_align"]
if hasattr(module, "_own_roi_align"):
    import vclr_operators
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 20, 30, dtype=torch.double, generator=generator, requires_grad=True)
    corners = torch.rand(40, 2, 2, dtype=torch.double, generator=generator).sort(1).values
    boxes_inside = corners.flatten(1) * torch.tensor([198.0, 131.0, 198.0, 131.0])
    rois = torch.cat([torch.arange(40)[:, None] % 2, boxes_inside], 1)
    for aligned in (True, False):
        for ratio in (0, 2):
            arguments = features, rois, 0.15, 7, 5, ratio, aligned
            results = [align(*arguments) for align in (vclr_operators.roi_align, module._own_roi_align.__wrapped__)]
            gradients = [torch.autograd.grad(result.square().sum(), features)[0] for result in results]
            torch.testing.assert_close(*results)
            torch.testing.assert_close(*gradients)
keep = boxes.batched_nms(
    torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10], [1, 0, 10, 10]]),
    torch.tensor([0.5, 0.9, 0.1]),
    torch.tensor([0, 0, 1]),
    0.5,
)
print(keep.tolist())
"""


@pytest.mark.slow
def test_the_operators_that_stand_in_are_those_of_torchvision() -> None:
    assert run_python(OPERATORS).strip() == "[1, 2]"
