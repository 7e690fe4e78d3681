"""What detectron2's loaders call for each image: our views and geometry, in detectron2's dictionaries.

detectron2's own mappers read our data sets too, but show photos alone.
"""

from __future__ import annotations

from typing import Any

import torch

from vclr.coco.annotations import Json
from vclr.config import Config
from vclr.data.samples import TestSamples, TrainingSamples
from vclr.errors import UserError
from vclr.interop.data_sets import PLACE
from vclr.interop.requirements import need
from vclr.interop.settings import Settings, read_settings
from vclr.ops.boxes import cxcywh_to_xyxy

FORMER_TEACHER_KEY = "natural"
TEACHER_KEY, VIEW_KEY = "teacher_image", "view"  # of the dictionaries that `VclrDetector` reads


class TrainMapper:
    """Makes training samples: a view of the photo, what the teacher sees of it, and the objects.

    Each call draws view and geometry with torch's global generator, which detectron2 seeds in every worker.
    """

    def __init__(self, settings: Settings) -> None:
        self._config = read_settings(settings)
        self._samples: TrainingSamples | None = None

    def __call__(self, dictionary: Json) -> Json:
        """Return `image` (3, h, w) uint8 RGB, `teacher_image` if it shows another view, `view`, and `instances`."""
        if self._samples is None:
            self._samples = TrainingSamples(self._config)
        structures = need("detectron2.structures")
        sample = self._samples.draw(int(torch.randint(2**31, ())), _place(dictionary)).unpack()
        size = sample.image.shape[1], sample.image.shape[2]
        scale = torch.tensor([size[1], size[0], size[1], size[0]])
        instances = structures.Instances(size)
        instances.gt_boxes = structures.Boxes(cxcywh_to_xyxy(sample.target.boxes) * scale)
        instances.gt_classes = sample.target.labels
        instances.gt_masks = structures.BitMasks(sample.target.masks.bool())
        mapped = _without_annotations(dictionary) | {"image": sample.image, "instances": instances}
        mapped[VIEW_KEY] = sample.view
        if sample.teacher_image is not sample.image:
            mapped[TEACHER_KEY] = sample.teacher_image
        return mapped


class TestMapper:
    """Reads the photos of a test set at the size at which vclr evaluates them."""

    __test__ = False  # pytest takes the name for a test's

    def __init__(self, settings: Settings) -> None:
        self._config: Config = read_settings(settings)
        self._samples: TestSamples | None = None

    def __call__(self, dictionary: Json) -> Json:
        """Return `image` (3, h, w) uint8 RGB beside what the dictionary says of the photo."""
        if self._samples is None:
            self._samples = TestSamples(self._config)
        return _without_annotations(dictionary) | {"image": self._samples[_place(dictionary)].image}


def _place(dictionary: Json) -> int:
    if PLACE not in dictionary:
        raise UserError(
            "vclr's mappers read data sets that `vclr.interop.register` has registered; this is another one"
        )
    place: int = dictionary[PLACE]
    return place


def _without_annotations(dictionary: Json) -> dict[str, Any]:
    return {key: value for key, value in dictionary.items() if key != "annotations"}
