"""Points of a mask: bilinear reading at pixel centers, and drawing where the logits are near zero."""

from __future__ import annotations

import torch

from vclr.ops.points import draw_uncertain_points, sample_at_points


def test_pixel_centers_read_the_pixels():
    maps = torch.rand(2, 3, 5)
    ys, xs = torch.meshgrid((torch.arange(3) + 0.5) / 3, (torch.arange(5) + 0.5) / 5, indexing="ij")
    points = torch.stack([xs, ys], -1).flatten(0, 1).expand(2, -1, -1)
    torch.testing.assert_close(sample_at_points(maps, points), maps.flatten(1))


def test_between_two_pixels_is_their_mean_and_outside_is_zero():
    maps = torch.tensor([[[1.0, 3.0]]])
    points = torch.tensor([[[0.5, 0.5], [-2.0, 0.5]]])
    assert sample_at_points(maps, points).tolist() == [[2.0, 0.0]]


def test_draws_are_in_the_image_and_depend_on_the_generator_alone():
    logits = torch.randn(3, 8, 8)
    torch.manual_seed(0)
    first = draw_uncertain_points(logits, 100, 3.0, 0.75)
    torch.manual_seed(0)
    second = draw_uncertain_points(logits, 100, 3.0, 0.75)
    assert first.shape == (3, 100, 2)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, second)
    assert not torch.equal(first, draw_uncertain_points(logits, 100, 3.0, 0.75))


def test_most_draws_lie_at_the_border_of_the_mask():
    """Logits rise from left to right and are zero in the middle."""
    logits = torch.linspace(-10, 10, 64).expand(1, 64, 64)
    torch.manual_seed(0)
    points = draw_uncertain_points(logits, 1000, 3.0, 0.75)
    distance = (points[0, :, 0] - 0.5).abs()
    assert distance[:750].quantile(0.95) < 0.15
    assert distance[750:].max() > 0.45
