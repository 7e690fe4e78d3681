"""Noise on objects: as far as it says, inside the image, and each image's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vclr.config import ModelConfig
from vclr.data.noisy_objects import count_groups, draw_noisy_objects, draw_shifts, move_corners
from vclr.ops.boxes import cxcywh_to_xyxy
from vclr.structures import NoisyObjects, Target

CONFIG = ModelConfig(dn_number=12)


def make_target(count: int, num_classes: int = 1) -> Target:
    generator = torch.Generator().manual_seed(count)
    boxes = torch.rand(count, 4, generator=generator) * 0.3 + 0.35  # all inside the image
    labels = torch.randint(num_classes, (count,), generator=generator)
    return Target(labels, boxes, torch.zeros(count, 4, 4, dtype=torch.uint8), count)


def draw(targets: list[Target], num_places: int, config: ModelConfig = CONFIG, first: int = 0) -> NoisyObjects:
    generators = [torch.Generator().manual_seed(first + number) for number in range(len(targets))]
    return draw_noisy_objects(targets, num_places, config, generators)


@pytest.mark.parametrize(("dn_number", "most", "groups"), [(100, 7, 14), (100, 1, 100), (5, 9, 1), (100, 0, 100)])
def test_groups_share_the_places(dn_number: int, most: int, groups: int):
    assert count_groups(dn_number, most) == groups
    assert draw([make_target(most)], most, replace(CONFIG, dn_number=dn_number)).labels.shape == (1, groups, 2, most)


def test_corners_move_by_up_to_half_a_side_and_by_more_in_the_second_half():
    shifts = draw_shifts(200, 5, torch.Generator().manual_seed(0))
    near, far = shifts.unbind(1)
    assert near.abs().max() < 1 <= far.abs().min() and far.abs().max() < 2
    assert (shifts > 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.1]])
    moved = cxcywh_to_xyxy(move_corners(boxes, torch.tensor([[1.0, -1.0, 0.5, 2.0]])))
    torch.testing.assert_close(moved, torch.tensor([[0.5, 0.4, 0.65, 0.65]]))


def test_boxes_stay_in_the_image_and_without_noise_where_they_are():
    target = make_target(9)
    corners = cxcywh_to_xyxy(draw([target], 9, replace(CONFIG, box_noise_scale=3.0)).boxes)
    assert corners.min() >= -1e-6 and corners.max() <= 1 + 1e-6
    still = draw([target], 9, replace(CONFIG, box_noise_scale=0.0)).boxes
    torch.testing.assert_close(still, target.boxes.expand_as(still))


def test_noise_of_an_image_does_not_depend_on_the_others():
    """Nor on the process that has it: each image has its own generator."""
    targets = [make_target(count) for count in (3, 0, 2)]
    together = draw(targets, 4)
    for number, target in enumerate(targets):
        alone = draw([target], 4, first=number)
        for name in ("labels", "boxes"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[number])
        assert (alone.labels[..., : len(target)] == 0).all() and (alone.labels[..., len(target) :] == -1).all()
        assert (alone.boxes[..., len(target) :, :] == 0.5).all()
    assert not torch.equal(together.boxes[0, 0], together.boxes[0, 1])


def test_half_of_the_ratio_of_labels_is_drawn_again():
    config = replace(CONFIG, dn_number=2000, num_classes=4, label_noise_ratio=0.8)
    target = make_target(20, num_classes=4)
    labels = draw([target], 20, config).labels
    assert set(labels.unique().tolist()) == {0, 1, 2, 3}
    changed = (labels != target.labels).float().mean().item()
    assert changed == pytest.approx(0.4 * 3 / 4, abs=0.03), "a quarter of those drawn again keep their label"
