"""A large photo, searched in overlapping tiles: small objects keep their pixels, which resizing it would take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from vclr.config import TestMapperConfig
from vclr.data.samples import TestSample, make_test_sample
from vclr.errors import UsageError
from vclr.evaluation.inference import predict_samples
from vclr.evaluation.placed_masks import place_mask
from vclr.evaluation.seams import NEAR_EDGE, Piece, join_tiles
from vclr.evaluation.tiles import Tile, cut_levels
from vclr.models.detector import Detector
from vclr.option_names import option
from vclr.structures import MaskForm, Predictions, Size

MIN_TILE = 32
MAX_OVERLAP = 0.75
PAINTED = 1.5  # side of a tile's masks when they are painted, as a multiple of the resized tile's, where that is less


@dataclass(frozen=True)
class Tiling:
    """How a photo is cut.

    Attributes:
        side: of the smallest tiles, in pixels of the photo.
        overlap: share of its side that a tile has in common with its neighbor, at least.

    Raises:
        UsageError: there can be no such tiles.
    """

    side: int
    overlap: float = 0.5

    def __post_init__(self) -> None:
        if self.side < MIN_TILE:
            raise UsageError(f"{option('tile', self.side)}: must be at least {MIN_TILE} pixels")
        if not 0 <= self.overlap <= MAX_OVERLAP:
            raise UsageError(f"{option('overlap', float(self.overlap))}: must be from 0 to {MAX_OVERLAP:g}")


def predict_tiled(
    model: Detector,
    image: np.ndarray,
    mapper: TestMapperConfig,
    tiling: Tiling,
    batch_size: int = 1,
    flip: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Predictions:
    """Find the objects in a photo, in its tiles of all levels (see `cut_levels`).

    Args:
        model: a detector on the device to compute on.
        image: (h, w, 3) uint8 RGB.
        mapper: the size to which each tile is resized.
        tiling: how the photo is cut. A photo that is no larger than a tile is searched as a whole.
        batch_size: number of tiles of one size that are searched together.
        flip: also search the mirror images.
        advance: gets the number of tiles after each batch.

    Returns:
        The objects with `encoded_masks`.
    """
    size: Size = (image.shape[0], image.shape[1])
    pieces: list[Piece] = []
    for level in cut_levels(size, tiling.side, tiling.overlap):
        waiting = iter(level)
        while tiles := list(islice(waiting, batch_size)):
            samples = [_make_sample(image, tile, mapper) for tile in tiles]
            found = predict_samples(model, samples, MaskForm.ENCODED, flip=flip)
            if len(level) == 1 and tiles[0].level == 0:
                return found[0]
            for tile, sample, objects in zip(tiles, samples, found, strict=True):
                pieces += _place(objects, sample.original_size, tile, size)
            if advance:
                advance(len(tiles))
    return join_tiles(pieces, size)


def _make_sample(image: np.ndarray, tile: Tile, mapper: TestMapperConfig) -> TestSample:
    """Resize a tile as a photo. Its masks are not painted larger than they can be sharp."""
    part = Image.fromarray(image[tile.top : tile.bottom, tile.left : tile.right])
    sample = make_test_sample(part, mapper)
    if tile.level == 0:
        return sample
    painted = (round(PAINTED * side) for side in sample.image.shape[-2:])
    height, width = map(min, sample.original_size, painted)
    return replace(sample, original_size=(height, width))


def _place(found: Predictions, painted: Size, tile: Tile, size: Size) -> list[Piece]:
    """Return a tile's objects in the photo; those without a mask are left out."""
    scale = np.array([tile.size[1] / painted[1], tile.size[0] / painted[0]] * 2)
    corner = np.array([tile.left, tile.top] * 2)
    height, width = tile.size
    near = np.array([width, height] * 2) * NEAR_EDGE
    pieces = []
    for box, score, rle in zip(found.boxes, found.scores, found.encoded_masks or (), strict=True):
        inside = box * scale
        distances = np.concatenate([inside[:2], np.array([width, height]) - inside[2:]])
        mask = place_mask(rle, tile, size)
        if (inside[2:] > inside[:2]).all() and coco_mask.area(mask):
            is_cut = bool(((distances < near) & np.array(tile.cuts(size))).any())
            pieces.append(Piece(inside + corner, float(score), mask, tile, is_cut))
    return pieces
