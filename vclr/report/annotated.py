"""The annotated objects of a test set, and what makes them hard to find: size, class, crowding, occlusion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vclr.catalog.metrics import SIZES
from vclr.coco.annotations import Json, bbox_corners, category_ids
from vclr.coco.prediction import Prediction, Size
from vclr.evaluation.detections import outline_found, outline_objects, overlap
from vclr.evaluation.tally import RANGES

CROWDING = {"1–3": 3, "4–9": 9, "10–19": 19, "20+": np.inf}  # objects in the image, at most
OCCLUSION = {"< 10 %": 0.1, "10–50 %": 0.5, "≥ 50 %": np.inf}  # share of the box, below
GRID = 16  # points per side of a box at which it is looked up whether another box covers it


@dataclass
class Division:
    """A division of objects into parts.

    Attributes:
        title: what divides them.
        labels: the names of the parts.
        parts: (n,) the part of each annotation.
    """

    title: str
    labels: list[str]
    parts: np.ndarray


@dataclass
class Annotated:
    """The annotations of a test set. Arrays have an entry for each annotation, crowds included.

    Attributes:
        coco: the content of the json.
        groups: whether each annotation is of a class of the group, for each group.
        whole: the groups of all classes.
        is_crowd: whether each annotation is a crowd, which nobody has to find.
        areas: the area of each annotation.
        in_image: the positions of the annotations in each image, ordered by category, by the id of the image.
        sizes: (height, width) of each image, by its id.
    """

    coco: Json
    groups: dict[str, np.ndarray]
    whole: set[str]
    is_crowd: np.ndarray = field(init=False)
    areas: np.ndarray = field(init=False)
    in_image: dict[Any, np.ndarray] = field(init=False)
    sizes: dict[Any, Size] = field(init=False)

    def __post_init__(self) -> None:
        self.is_crowd = np.array([bool(one.get("iscrowd", 0)) for one in self.annotations], bool)
        areas = [one.get("area", one["bbox"][2] * one["bbox"][3]) for one in self.annotations]
        self.areas = np.array(areas, float)
        positions = defaultdict(list)
        # By category as in pycocotools: it decides which of two equally overlapping objects a detection gets.
        for position in sorted(range(len(self.annotations)), key=lambda one: self.annotations[one]["category_id"]):
            positions[self.annotations[position]["image_id"]].append(position)
        self.in_image = {image["id"]: np.array(positions[image["id"]], int) for image in self.coco["images"]}
        self.sizes = {image["id"]: (image["height"], image["width"]) for image in self.coco["images"]}

    @property
    def annotations(self) -> list[Json]:
        """The entries of `annotations`."""
        return self.coco["annotations"]  # type: ignore[no-any-return]

    @cached_property
    def has_masks(self) -> bool:
        """Whether an annotation has a segmentation."""
        return any(one.get("segmentation") for one in self.annotations)

    def objects_of(self, group: str) -> np.ndarray:
        """Return (n,) whether each annotation is an object of a group: of its classes, and no crowd."""
        return self.groups[group] & ~self.is_crowd

    def overlaps(self, image_id: Any, found: list[Prediction], kind: str) -> np.ndarray:
        """Return the IoUs (d, n) of predictions and annotations in an image, of one of `KINDS`; see `overlap`."""
        positions, size = self.in_image[image_id], self.sizes[image_id]
        objects = outline_objects(kind, [self.annotations[position] for position in positions], size)
        return overlap(outline_found(kind, found, size), objects, self.is_crowd[positions])

    def class_names(self) -> list[str]:
        """Return the name of the class of each annotation."""
        names = {category["id"]: category["name"] for category in self.coco["categories"]}
        return [names.get(one["category_id"], "object") for one in self.annotations]

    @cached_property
    def divisions(self) -> list[Division]:
        """The annotations divided by size, crowding, occlusion and class."""
        names = self.class_names()
        classes = sorted(set(names))
        ranks = {name: rank for rank, name in enumerate(classes)}
        limits = [np.array(list(parts.values())[:-1]) for parts in (CROWDING, OCCLUSION)]
        return [
            Division("size", list(SIZES), find_sizes(self.areas)),
            Division("crowding", list(CROWDING), np.searchsorted(limits[0], self.crowding())),
            Division("occlusion", list(OCCLUSION), np.searchsorted(limits[1], self.occlusion(), side="right")),
            Division("class", classes, np.array([ranks[name] for name in names], int)),
        ]

    def crowding(self) -> np.ndarray:
        """Return (n,) the number of objects in the image of each annotation."""
        counts = np.zeros(len(self.annotations), int)
        for positions in self.in_image.values():
            counts[positions] = np.count_nonzero(~self.is_crowd[positions])
        return counts

    def occlusion(self) -> np.ndarray:
        """Return (n,) the share of each annotation's box that the boxes of other annotations in its image cover."""
        shares = np.zeros(len(self.annotations))
        for positions in self.in_image.values():
            boxes = [bbox_corners(self.annotations[position]["bbox"]) for position in positions]
            shares[positions] = covered_shares(np.array(boxes, float).reshape(-1, 4))
        return shares


def annotate(coco: Json, groups: Mapping[str, list[str] | None], source: str) -> Annotated:
    """Return the annotations of a json that `load_coco` read.

    Args:
        coco: content of the json.
        groups: names of the classes of each group; None stands for all.
        source: name of the json in errors.
    """
    categories = np.array([one["category_id"] for one in coco["annotations"]], int)
    everything = np.ones(len(categories), bool)
    return Annotated(
        coco,
        {
            group: everything if names is None else np.isin(categories, list(category_ids(coco, names, source)))
            for group, names in groups.items()
        },
        {group for group, names in groups.items() if names is None},
    )


def find_sizes(areas: np.ndarray) -> np.ndarray:
    """Return (n,) the position in `SIZES` of the size that each area has."""
    return np.searchsorted(RANGES[2:, 0], areas, side="right")


def covered_shares(boxes: np.ndarray) -> np.ndarray:
    """Return (n,) the share of each box (n, 4) xyxy that the others cover, measured at `GRID` x `GRID` points."""
    shares, steps = np.zeros(len(boxes)), (np.arange(GRID) + 0.5) / GRID
    for number, (left, top, right, bottom) in enumerate(boxes):
        overlapping = np.all((boxes[:, :2] < (right, bottom)) & (boxes[:, 2:] > (left, top)), axis=1)
        overlapping[number] = False
        others = boxes[overlapping]
        x, y = left + steps * (right - left), top + steps * (bottom - top)
        in_x = (others[:, 0, None] <= x) & (x < others[:, 2, None])
        in_y = (others[:, 1, None] <= y) & (y < others[:, 3, None])
        shares[number] = (in_y[:, :, None] & in_x[:, None, :]).any(axis=0).mean()
    return shares
