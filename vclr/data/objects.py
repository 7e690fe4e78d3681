"""The annotated objects of one image: packed in arrays, and moved by a geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vclr.coco.annotations import Json, bbox_corners, outlines, to_mask
from vclr.coco.checks import is_proposal
from vclr.data.masks import ObjectMasks, crop_mask, draw_polygons, join_masks
from vclr.data.polygons import Polygons
from vclr.data.transforms import Geometry
from vclr.ops.boxes import xyxy_to_cxcywh
from vclr.structures import Size

# Objects whose box has a side of at most this many pixels after the geometry are dropped.
MIN_BOX_SIDE = 1e-5


@dataclass(frozen=True)
class Objects:
    """The objects of an image.

    Attributes:
        corners: (n, 4) float64 boxes, xyxy in pixels.
        polygons: outlines of the objects that have some, or the box of one without a segmentation.
        rles: COCO run lengths of the other objects, by number.
        is_proposal: (n,) bool, which objects are object proposals.
    """

    corners: np.ndarray
    polygons: Polygons
    rles: dict[int, Json]
    is_proposal: np.ndarray

    def __len__(self) -> int:
        return len(self.corners)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as plain bytes, which takes a fraction of the space and time of arrays."""
        shape = self.polygons
        arrays = (self.corners, shape.points, shape.lengths, shape.owners, self.is_proposal)
        return _unpickle, (*(array.tobytes() for array in arrays), self.rles)

    @classmethod
    def from_annotations(cls, annotations: list[Json]) -> Objects:
        """Pack the annotations of an image, which `load_coco` has checked. Those with a score are object proposals."""
        corners = np.array([bbox_corners(item["bbox"]) for item in annotations], dtype=np.float64).reshape(-1, 4)
        coordinates: list[float] = []
        lengths: list[int] = []
        owners: list[int] = []
        rles: dict[int, Json] = {}
        for number, item in enumerate(annotations):
            polygons = outlines(item)
            if polygons is None:
                rles[number] = item["segmentation"]
                continue
            for polygon in polygons:
                coordinates += polygon
                lengths.append(len(polygon) // 2)
                owners.append(number)
        points = np.array(coordinates, dtype=np.float64).reshape(-1, 2)
        shapes = Polygons(points, np.array(lengths, dtype=np.int64), np.array(owners, dtype=np.int64))
        return cls(corners, shapes, rles, np.array([*map(is_proposal, annotations)], dtype=np.bool_))

    def move(self, geometry: Geometry, size: Size) -> tuple[Tensor, ObjectMasks, np.ndarray]:
        """Transform the objects of an image of (height, width) `size`, and drop those outside the crop.

        Polygons are moved first and rasterized then, so a thin object stays even if its mask is empty.

        Returns:
            (n, 4) float32 boxes, cxcywh normalized, the masks, and which objects are proposals (n,).
        """
        boxes = geometry.apply_to_boxes(self.corners, size)
        has_size = (boxes[:, 2:] - boxes[:, :2] > MIN_BOX_SIDE).all(1)
        moved = geometry.apply_to_polygons(self.polygons.of_objects(has_size), size)
        kept, masks = draw_polygons(moved, geometry.output_size)
        if self.rles:
            drawn = {number: _move_rle(rle, geometry, size) for number, rle in self.rles.items() if has_size[number]}
            drawn = {number: mask for number, mask in drawn.items() if len(mask.pixels)}
            kept = np.concatenate([kept, np.array(list(drawn), dtype=np.int64)])
            order = np.argsort(kept)
            kept, masks = kept[order], join_masks([masks, *drawn.values()], order, geometry.output_size)
        height, width = geometry.output_size
        sides = torch.tensor([width, height, width, height], dtype=torch.float64)
        normalized = xyxy_to_cxcywh(torch.from_numpy(boxes[kept])) / sides
        return normalized.float(), masks, self.is_proposal[kept]


def _unpickle(
    corners: bytes, points: bytes, lengths: bytes, owners: bytes, is_proposal: bytes, rles: dict[int, Json]
) -> Objects:
    polygons = Polygons(
        np.frombuffer(points, np.float64).reshape(-1, 2),
        np.frombuffer(lengths, np.int64),
        np.frombuffer(owners, np.int64),
    )
    boxes = np.frombuffer(corners, np.float64).reshape(-1, 4)
    return Objects(boxes, polygons, rles, np.frombuffer(is_proposal, np.bool_))


def _move_rle(rle: Json, geometry: Geometry, size: Size) -> ObjectMasks:
    return crop_mask(geometry.apply_to_mask(to_mask(rle, *size)))
