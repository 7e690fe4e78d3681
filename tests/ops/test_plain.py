"""Plain operations: they compute what the fast ones do, and end with their block."""

from __future__ import annotations

import pytest
import torch

from tests.models.test_detector import demo_config, draw_images, shake
from vclr.models.build import build_model
from vclr.ops.constants import forget_constants
from vclr.ops.plain import is_plain, plain_operations


def test_a_block_ends_also_with_an_error():
    with plain_operations():
        with plain_operations():
            pass
        assert is_plain()
    with pytest.raises(KeyError), plain_operations():
        raise KeyError
    assert not is_plain()


@pytest.mark.parametrize("size", [(64, 96), (33, 50)])  # with few cells, queries repeat them
@torch.no_grad()
def test_the_detector_gives_the_same_outputs(size: tuple[int, int]):
    model = shake(build_model(demo_config("model.num_queries=200"))).eval()
    images, image_sizes = draw_images(2, *size)
    usual = model(images, image_sizes)
    forget_constants()
    with plain_operations():
        plain = model(images, None)
    for name in ("pred_logits", "pred_boxes", "queries", "mask_embeds"):
        torch.testing.assert_close(getattr(plain, name), getattr(usual, name), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.mask_features, torch.stack(list(usual.mask_features)), rtol=1e-4, atol=1e-4)
    # Nothing that was made for symbols is kept for later.
    again = model(images, image_sizes)
    assert torch.equal(again.pred_logits, usual.pred_logits)
