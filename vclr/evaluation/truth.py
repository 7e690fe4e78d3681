"""The annotated objects of a test set in little memory: annotations stay encoded until their image is scored."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from vclr.coco.annotations import Json, category_ids
from vclr.coco.file import CocoFile
from vclr.evaluation.tally import Objects

log = logging.getLogger("vclr.evaluation")


@dataclass
class Group:
    """The part of a ground truth with certain categories.

    Attributes:
        is_counted: (n,) whether each annotation of the ground truth belongs to it.
        images: the numbers of its images.
        num_objects: (i, a) number of objects per image and size range.
        has_masks: whether an annotation has a segmentation.
    """

    is_counted: np.ndarray
    images: set[int]
    num_objects: np.ndarray
    has_masks: bool


class Truth:
    """A ground truth.

    Attributes:
        numbers: the number of each image, by its id: the order decides between equally good predictions in different
            images.
        sizes: (height, width) of each image, by its id.
        objects: all annotations.
    """

    def __init__(self, coco: CocoFile, source: str) -> None:
        """Go through usable annotations; errors call the ground truth `source`."""
        self._coco, self._source = coco, source
        ids = sorted((image["id"] for image in coco.images), key=lambda image_id: (isinstance(image_id, str), image_id))
        self.numbers = {image_id: number for number, image_id in enumerate(ids)}
        self.sizes = {image["id"]: (image["height"], image["width"]) for image in coco.images}
        facts = [self._measure(annotation) for annotation in coco.read_annotations()]
        columns = list(zip(*facts, strict=True)) or [()] * 5
        self._images, self._has_mask = np.array(columns[0], int), np.array(columns[4], bool)
        self._categories = columns[1]
        self.objects = Objects(np.array(columns[2], float), np.array(columns[3], bool))
        if num_negative := int(((self.objects.areas < 0) & ~self.objects.is_crowd).sum()):
            says = "%s: objects with a negative `area` count neither as found nor as missed: %d"
            log.warning(says, coco.path, num_negative)
        # By category as in pycocotools even if it ignores classes: it decides between equals.
        ranks = {category: rank for rank, category in enumerate(sorted(set(self._categories)))}
        self._order = np.lexsort((np.array([ranks[category] for category in self._categories], int), self._images))
        self._starts = np.searchsorted(self._images[self._order], np.arange(len(ids) + 1))

    def group(self, categories: list[str] | None) -> Group:
        """Return the annotations of some categories, and the images that have one; None stands for everything.

        Raises:
            UserError: there is no category of this name.
        """
        if categories is None:
            is_counted = self._images >= 0
            images = set(self.numbers.values())
        else:
            wanted = category_ids(self._coco.head, categories, self._source)
            is_counted = np.array([category in wanted for category in self._categories], bool) & (self._images >= 0)
            images = set(self._images[is_counted & ~self.objects.is_crowd].tolist())
        has_masks = self._has_mask & is_counted & np.isin(self._images, list(images))
        return Group(is_counted, images, self._count_objects(is_counted), bool(has_masks.any()))

    def by_class(self) -> dict[int, Group]:
        """Return the annotations of each category, all with all images: a detection anywhere may be false."""
        categories, images = np.array(self._categories, object), set(self.numbers.values())
        groups = {}
        for category in sorted({category["id"] for category in self._coco.categories}):
            is_counted = (categories == category) & (self._images >= 0)
            groups[category] = Group(is_counted, images, self._count_objects(is_counted), bool(self._has_mask.any()))
        return groups

    def _count_objects(self, is_counted: np.ndarray) -> np.ndarray:
        """Return the number of objects (i, a) per image and size range, of some annotations (n,)."""
        num_objects = np.zeros((len(self.numbers), len(self.objects.is_ignored)), np.int32)
        np.add.at(num_objects, self._images[is_counted], ~self.objects.is_ignored[:, is_counted].T)
        return num_objects

    def in_image(self, image_id: int | str) -> tuple[np.ndarray, list[Json]]:
        """Return the positions of an image's annotations, and the annotations."""
        number = self.numbers[image_id]
        positions = self._order[self._starts[number] : self._starts[number + 1]]
        return positions, self._coco.decode(positions.tolist())

    def _measure(self, annotation: Json) -> tuple[int, int, float, bool, bool]:
        """Return number of the image (-1 if it is left out), category, area, whether it is a crowd, and has a mask."""
        _, _, width, height = annotation["bbox"]
        area, is_crowd = annotation.get("area", width * height), bool(annotation.get("iscrowd", 0))
        number = self.numbers.get(annotation["image_id"], -1)
        return number, annotation["category_id"], area, is_crowd, bool(annotation.get("segmentation"))
