"""Levels: the coordinates of an image do not depend on how far it was padded."""

from __future__ import annotations

from dataclasses import replace

import torch

from vclr.models.cells import padding_mask
from vclr.models.levels import Levels, flatten_levels, flatten_padded_levels, join_levels
from vclr.models.position import embed_boxes, embed_cells

SHAPES = [(8, 12), (4, 6)]


def make_levels(valid_height: int = 64, valid_width: int = 96) -> Levels:
    """One image of 64 x 96 pixels whose right and lower parts are padding."""
    maps = [torch.randn(1, 16, *shape) for shape in SHAPES]
    return flatten_padded_levels(maps, [(valid_height, valid_width)], (64, 96))


def test_split_undoes_flatten():
    maps = [torch.randn(2, 16, *shape) for shape in SHAPES]
    levels = flatten_levels(maps)
    assert levels.padding_mask is None
    for given, back in zip(maps, levels.split(), strict=True):
        assert torch.equal(given, back)


def test_images_of_different_sizes_are_padded_bottom_and_right():
    sizes = [[(8, 12), (4, 6)], [(5, 7), (3, 4)], [(2, 13), (1, 7)]]
    parts = [flatten_levels([torch.randn(1, 16, *shape) for shape in shapes]) for shapes in sizes]
    levels = join_levels([replace(part, features=2 * part.features) for part in parts])
    joined = levels.features
    assert levels.spatial_shapes == ((8, 13), (4, 7))
    assert levels.valid_sizes == tuple(tuple(shapes[level] for shapes in sizes) for level in range(2))
    assert (~levels.padding_mask).sum(1).tolist() == [8 * 12 + 4 * 6, 5 * 7 + 3 * 4, 2 * 13 + 7]
    for number, part in enumerate(parts):
        torch.testing.assert_close(joined[number][~levels.padding_mask[number]], 2 * part.features[0])
    assert (joined[levels.padding_mask] == 0).all()


def test_a_single_part_is_the_batch():
    part = flatten_levels([torch.randn(2, 16, *shape) for shape in SHAPES])
    assert join_levels([part]) == part


def test_positions_are_those_of_a_mask_that_masks_nothing():
    levels = flatten_levels([torch.randn(2, 16, *shape) for shape in SHAPES])
    masks = [torch.zeros(1, *shape, dtype=torch.bool) for shape in SHAPES]
    assert torch.equal(levels.positions(), torch.cat([embed_cells(mask, 16).flatten(1, 2) for mask in masks], 1))


def test_mask_of_a_padded_level_is_that_of_its_nearest_pixels():
    """As interpolation to the nearest pixel does, for every size of the batch and of an image in it."""
    for padded in range(1, 70):
        for num_cells in {-(-padded // stride) for stride in (4, 8, 16)}:
            for valid in range(1, padded + 1):
                mask = padding_mask(((valid, 1),), (padded, 1), torch.device("cpu"))[:, None].float()
                nearest = torch.nn.functional.interpolate(mask, size=(num_cells, 1))[0, 0, :, 0] == 0
                levels = flatten_padded_levels([torch.zeros(1, 4, num_cells, 1)], [(valid, 1)], (padded, 1))
                assert levels.valid_sizes[0][0][0] == nearest.sum()


def test_cell_centers_without_padding():
    points = make_levels().reference_points()
    assert points.shape == (1, 8 * 12 + 4 * 6, 2, 2)
    torch.testing.assert_close(points[0, 0, 0], torch.tensor([0.5 / 12, 0.5 / 8]))
    torch.testing.assert_close(points[0, 8 * 12 + 1, 1], torch.tensor([1.5 / 6, 0.5 / 4]))


def test_padding_is_masked_and_measured():
    levels = make_levels(valid_height=32, valid_width=72)
    assert levels.valid_ratios.tolist() == [[[0.75, 0.5], [5 / 6, 0.5]]] or torch.allclose(
        levels.valid_ratios, torch.tensor([[[9 / 12, 4 / 8], [5 / 6, 2 / 4]]])
    )
    assert (~levels.padding_mask).sum() == 9 * 4 + 5 * 2


def test_proposals_of_a_padded_image_are_those_of_the_image_alone():
    padded, usable = make_levels(valid_height=32, valid_width=48).proposals()
    alone = flatten_levels([torch.randn(1, 16, 4, 6), torch.randn(1, 16, 2, 3)])
    expected, expected_usable = alone.proposals()
    torch.testing.assert_close(padded[usable], expected[expected_usable])


def test_proposals_are_squares_that_double_with_the_level():
    logits, usable = make_levels().proposals()
    boxes = logits.sigmoid()
    assert usable.all()
    torch.testing.assert_close(boxes[0, :96, 2:], torch.full((96, 2), 0.05))
    torch.testing.assert_close(boxes[0, 96:, 2:], torch.full((24, 2), 0.10))


def test_position_embedding_of_a_padded_image_is_that_of_the_image_alone():
    mask = torch.ones(1, 8, 12, dtype=torch.bool)
    mask[:, :4, :6] = False
    alone = embed_cells(torch.zeros(1, 4, 6, dtype=torch.bool), 16)
    torch.testing.assert_close(embed_cells(mask, 16)[:, :4, :6], alone)


def test_every_cell_and_every_box_has_its_own_embedding():
    cells = embed_cells(torch.zeros(1, 8, 12, dtype=torch.bool), 32).flatten(0, 2)
    assert torch.pdist(cells).min() > 0.1
    boxes = embed_boxes(torch.rand(20, 4), 32)
    assert boxes.shape == (20, 64)
    assert torch.pdist(boxes).min() > 0.01
