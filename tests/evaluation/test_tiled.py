"""Tiles cover a photo, masks keep their place, and an object on a seam is found once and whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import vclr
from vclr.coco.annotations import encode_mask
from vclr.config import load_config
from vclr.errors import UsageError
from vclr.evaluation.placed_masks import clip_mask, place_mask
from vclr.evaluation.seams import Piece, join_tiles
from vclr.evaluation.tiled import Tiling
from vclr.evaluation.tiles import Tile, cut_levels
from vclr.models.build import build_model

SIZE = (300, 400)


@pytest.mark.parametrize("size", [(300, 400), (64, 64), (65, 64), (1, 5000), (999, 101)], ids=str)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_tiles_of_each_level_cover_the_photo_and_overlap(size: tuple[int, int], overlap: float):
    levels = cut_levels(size, 64, overlap)
    assert levels[-1] == [Tile(0, 0, size[1], size[0], len(levels) - 1)]
    for tiles in levels:
        covered = np.zeros(size, bool)
        for tile in tiles:
            covered[tile.top : tile.bottom, tile.left : tile.right] = True
        assert covered.all()
        lefts = sorted({tile.left for tile in tiles})
        side = tiles[0].size[1]
        assert all(after - before <= side * (1 - overlap) + 1 for before, after in zip(lefts, lefts[1:], strict=False))
    assert len(levels) == 1 or max(levels[0][0].size) == 64


@pytest.mark.parametrize("tile", [Tile(0, 0, 400, 300), Tile(37, 0, 237, 300), Tile(100, 50, 400, 201)], ids=str)
@pytest.mark.parametrize("shrunk", [1, 3])
def test_placed_mask_is_the_enlarged_mask_at_its_place(tile: Tile, shrunk: int):
    painted = np.random.default_rng(0).random((tile.size[0] // shrunk, tile.size[1] // shrunk)) > 0.5
    painted[:, -1] = painted[-1] = True  # runs that reach the photo's bottom go on in the next column
    expected = np.zeros(SIZE, np.uint8)
    rows, columns = (np.arange(new) * old // new for new, old in zip(tile.size, painted.shape, strict=True))
    expected[tile.top : tile.bottom, tile.left : tile.right] = painted[np.ix_(rows, columns)]
    placed = place_mask(encode_mask(painted), tile, SIZE)
    assert placed == encode_mask(expected)
    part = Tile(120, 60, 150, 290)
    clipped = np.zeros_like(expected)
    clipped[60:290, 120:150] = expected[60:290, 120:150]
    np.testing.assert_array_equal(coco_mask.decode(clip_mask(placed, part)), clipped)
    assert place_mask(encode_mask(np.zeros((5, 5))), tile, SIZE) == encode_mask(np.zeros(SIZE))


def piece(tile: Tile, score: float, left: int, top: int, right: int, bottom: int) -> Piece:
    """Return a rectangle of the photo as a tile shows it."""
    ends = max(left, tile.left), max(top, tile.top), min(right, tile.right), min(bottom, tile.bottom)
    mask = np.zeros(SIZE, np.uint8)
    mask[ends[1] : ends[3], ends[0] : ends[2]] = 1
    return Piece(np.array(ends, float), score, encode_mask(mask), tile, is_cut=ends != (left, top, right, bottom))


LEFT, RIGHT, WHOLE = Tile(0, 0, 220, 300), Tile(180, 0, 400, 300), Tile(0, 0, 400, 300, 1)
LONG = (100, 100, 320, 140)


def test_object_over_a_seam_is_united():
    found = join_tiles([piece(LEFT, 0.9, *LONG), piece(RIGHT, 0.7, *LONG)], SIZE)
    assert len(found) == 1
    np.testing.assert_array_equal(found.boxes[0], LONG)
    assert found.mask(0).sum() == 220 * 40
    assert 0.7 < found.scores[0] < 0.9


def test_whole_object_replaces_its_parts_even_if_they_are_better():
    found = join_tiles([piece(LEFT, 0.9, *LONG), piece(RIGHT, 0.7, *LONG), piece(WHOLE, 0.6, *LONG)], SIZE)
    assert len(found) == 1
    assert found.scores[0] == pytest.approx(0.6)


def test_same_object_of_two_tiles_is_kept_once_and_neighbors_stay():
    one, other = (190, 10, 210, 40), (185, 60, 215, 90)
    pieces = [piece(tile, score, *box) for box in (one, other) for tile, score in ((LEFT, 0.5), (RIGHT, 0.6))]
    found = join_tiles(pieces, SIZE)
    assert sorted(map(tuple, found.boxes.tolist())) == sorted([tuple(map(float, other)), tuple(map(float, one))])
    assert found.scores.tolist() == pytest.approx([0.6, 0.6])


def test_what_one_tile_shows_as_two_objects_stays_two():
    found = join_tiles([piece(LEFT, 0.5, 10, 10, 60, 60), piece(LEFT, 0.4, 10, 10, 60, 58)], SIZE)
    assert len(found) == 2
    assert len(join_tiles([], SIZE)) == 0


def test_small_photo_in_tiles_is_the_photo(tmp_path: Path):
    """And a large one has objects in its own pixels, best first, with masks that fit their boxes' place."""
    config = load_config(Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml", ["model.num_queries=10"])
    model = build_model(config).eval()
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    plain, same = (vclr.predict(model, photo, 64, 128, tile=tile) for tile in (None, 200))
    np.testing.assert_array_equal(plain.boxes, same.boxes)
    np.testing.assert_array_equal(plain.masks, [same.mask(index) for index in range(len(same))])
    tiled = vclr.predict(model, photo, 64, 128, tile=60)
    assert len(tiled) > len(plain)
    assert (np.diff(tiled.scores) <= 0).all()
    assert tiled.mask(0).shape == (90, 120)
    assert (tiled.boxes >= 0).all() and (tiled.boxes <= [120, 90, 120, 90]).all()
    with pytest.raises(UsageError, match="tile=3: must be at least 32 pixels"):
        vclr.predict(model, photo, tile=3)
    with pytest.raises(UsageError, match="overlap=1: must be from 0 to 0.75"):
        Tiling(64, 1.0)
