"""From what was found in overlapping tiles to the objects of the photo: each once, and none cut at a seam."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json
from vclr.evaluation.placed_masks import clip_mask
from vclr.evaluation.tiles import Tile
from vclr.structures import Predictions, Size

SAME_BOX = 0.8  # IoU of boxes above which two tiles show the same object, whatever their masks
SAME_MASK = 0.7  # the same of masks. Lower values lose objects: what is like one that is like another is dropped for it
SAME_PART = 0.5  # the same of cut objects, of what lies in the tile that cut them, or in what two tiles share
MIN_COMMON = 0.4  # IoU of boxes below which masks are not compared; of cut objects, share of the smaller box
NEAR_EDGE = 0.01  # share of a tile's side; objects that come so near to an edge inside the photo may be cut by it
WORSE = 0.5  # a whole object explains a cut one only if its score is at least this share of the cut one's


@dataclass
class Piece:
    """An object as a tile shows it.

    Attributes:
        box: (4,) xyxy in pixels of the photo.
        score: in [0, 1].
        mask: of the photo, compressed RLE.
        tile: the tile.
        is_cut: whether it may continue beyond the tile.
    """

    box: np.ndarray
    score: float
    mask: Json
    tile: Tile
    is_cut: bool

    @cached_property
    def area(self) -> int:
        """The number of pixels of its mask."""
        return int(coco_mask.area(self.mask))


class Kept:
    """The objects that have been kept, and their boxes as one array."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._boxes = np.zeros((256, 4))

    def add(self, piece: Piece) -> None:
        """Keep an object."""
        count = len(self.pieces)
        if count == len(self._boxes):
            self._boxes = np.concatenate([self._boxes, np.zeros_like(self._boxes)])
        self._boxes[count] = piece.box
        self.pieces.append(piece)

    def shows(self, piece: Piece) -> bool:
        """Tell whether a kept object is the same as a piece of another tile."""
        ious, _ = box_overlaps(piece.box, self._boxes[: len(self.pieces)])
        # What the detector found in one tile are different objects.
        near = [place for place in np.flatnonzero(ious > MIN_COMMON) if self.pieces[place].tile != piece.tile]
        if any(ious[place] > SAME_BOX for place in near):
            return True
        return bool(near) and bool(
            (mask_ious(piece.mask, [self.pieces[place].mask for place in near]) > SAME_MASK).any()
        )

    def explains(self, piece: Piece) -> bool:
        """Tell whether a kept object looks like a cut one where the tile of the cut one shows it."""
        _, inside = box_overlaps(piece.box, self._boxes[: len(self.pieces)])
        near = [self.pieces[place] for place in np.flatnonzero(inside > MIN_COMMON)]
        near = [other for other in near if other.tile != piece.tile and other.score >= WORSE * piece.score]
        near = [other for other in near if other.area > SAME_PART * piece.area]  # a smaller one has a lower IoU
        seen = [clip_mask(other.mask, piece.tile) for other in near]
        return bool(near) and bool((mask_ious(piece.mask, seen) > SAME_PART).any())


def join_tiles(pieces: list[Piece], size: Size) -> Predictions:
    """Return the objects of a photo.

    Whole objects are kept, the best of those that are the same. A cut object is dropped if one of them looks like it
    within the tile. Cut objects of neighboring tiles that agree where the tiles overlap are united. What is left of the
    cut objects is kept.

    Args:
        pieces: the objects found in all tiles. Those of one tile are different objects, as the detector says.
        size: height and width of the photo.
    """
    kept = Kept()
    by_score = sorted(pieces, key=lambda piece: -piece.score)
    for piece in by_score:
        if not piece.is_cut and not kept.shows(piece):
            kept.add(piece)
    cut = [piece for piece in by_score if piece.is_cut and not kept.explains(piece)]
    for piece in sorted(unite(cut), key=lambda piece: -piece.score):
        if not kept.shows(piece):
            kept.add(piece)
    return _as_predictions(sorted(kept.pieces, key=lambda piece: -piece.score), size)


def unite(pieces: list[Piece]) -> list[Piece]:
    """Unite the pieces of one level that continue each other over a seam; return these and the remaining ones."""
    group = list(range(len(pieces)))

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = index = group[group[index]]
        return index

    boxes = np.array([piece.box for piece in pieces]).reshape(-1, 4)
    for index, piece in enumerate(pieces):
        _, inside = box_overlaps(piece.box, boxes[:index])
        for other in np.flatnonzero(inside > 0):
            if root(index) != root(int(other)) and _continue_each_other(piece, pieces[other]):
                group[root(index)] = root(int(other))
    members: dict[int, list[Piece]] = {}
    for index, piece in enumerate(pieces):
        members.setdefault(root(index), []).append(piece)
    return [_unite(parts) if len(parts) > 1 else parts[0] for parts in members.values()]


def box_overlaps(box: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the IoUs (n,) of a box with (n, 4) others, xyxy, and the shares of the smaller one that they share."""
    corners = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = corners.clip(min=0).prod(-1)
    area, areas = (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(-1)
    return common / (area + areas - common).clip(min=1e-9), common / np.minimum(area, areas).clip(min=1e-9)


def _continue_each_other(piece: Piece, other: Piece) -> bool:
    if piece.tile == other.tile or piece.tile.level != other.tile.level:
        return False
    common = piece.tile.common(other.tile)
    if common is None:
        return False
    return bool(mask_ious(clip_mask(piece.mask, common), [clip_mask(other.mask, common)])[0] > SAME_PART)


def _unite(parts: list[Piece]) -> Piece:
    """Return the object that parts show; its score is their mean, by area."""
    areas = [part.area for part in parts]
    boxes = np.array([part.box for part in parts])
    box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    score = float(np.average([part.score for part in parts], weights=areas))
    return Piece(box, score, dict(coco_mask.merge([part.mask for part in parts])), parts[0].tile, is_cut=True)


def mask_ious(mask: Json, others: list[Json]) -> np.ndarray:
    """Return the IoUs (n,) of a mask with others."""
    return np.asarray(coco_mask.iou(others, [mask], [0])[:, 0])


def _as_predictions(pieces: list[Piece], size: Size) -> Predictions:
    masks = [{**piece.mask, "counts": _as_text(piece.mask["counts"])} for piece in pieces]
    boxes = np.array([piece.box for piece in pieces], np.float32).reshape(-1, 4)
    scores = np.array([piece.score for piece in pieces], np.float32)
    return Predictions(boxes, scores, np.zeros((len(pieces), 0, 0), bool), masks)


def _as_text(counts: str | bytes) -> str:
    return counts if isinstance(counts, str) else counts.decode("ascii")
