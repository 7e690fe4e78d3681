"""How alike the queries are that a detector gives to one object in two renderings of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vclr.coco.annotations import bbox_corners, category_ids
from vclr.coco.file import CocoFile
from vclr.config import MatcherConfig
from vclr.data.samples import TestSample
from vclr.losses.matcher import HungarianMatcher
from vclr.ops.boxes import xyxy_to_cxcywh
from vclr.structures import Outputs, Target


class QueryProbe:
    """Compares the queries of renderings with those of the photos, object by object.

    Objects and queries are paired as the consistency loss pairs them (paper, section 3.3): each rendering's queries are
    matched to the annotated objects, and the queries of one object are compared by their cosine. Crowds have no query.
    """

    def __init__(self, coco: CocoFile, config: MatcherConfig) -> None:
        self._coco, self._matcher = coco, HungarianMatcher(config)
        self._targets, self._categories = _read_objects(coco)
        self._of_photos: dict[int | str, tuple[np.ndarray, Tensor]] = {}

    def remember(self, samples: list[TestSample], outputs: Outputs) -> None:
        """Keep the queries of a batch of photos, which renderings are compared with."""
        self._of_photos |= self._match(samples, outputs)

    def compare(self, groups: Mapping[str, Sequence[str] | None]) -> tuple[Observe, Callable[[], dict[str, Any]]]:
        """Begin with a rendering.

        Args:
            groups: for each group, the names of its categories; None stands for all.

        Returns:
            A function that takes each batch of the rendering, and one that returns the result for each group (see
            `summarize`) in the end.
        """
        cosines: dict[int | str, tuple[np.ndarray, np.ndarray]] = {}

        def observe(samples: list[TestSample], outputs: Outputs) -> None:
            for image_id, (objects, queries) in self._match(samples, outputs).items():
                natural_objects, natural = self._of_photos[image_id]
                # Only if an image has more objects than queries can they differ in what they are matched to.
                common, own, other = np.intersect1d(objects, natural_objects, return_indices=True)
                found = functional.cosine_similarity(queries[own], natural[other], dim=-1)
                cosines[image_id] = self._categories[image_id][common], found.double().numpy()

        def results() -> dict[str, Any]:
            return {group: self._summarize(cosines, names) for group, names in groups.items()}

        return observe, results

    def compare_objects(self, groups: Mapping[str, Sequence[str] | None]) -> dict[str, Any]:
        """Summarize, for each group, the cosine between an object's query and those of its photo's other objects.

        It tells what a cosine between renderings means: queries of different objects are alike to some degree, too.
        """
        cosines = {}
        for image_id, (objects, queries) in self._of_photos.items():
            if len(objects) > 1:
                directions = functional.normalize(queries.double(), dim=-1)
                table = directions @ directions.T
                others = (table.sum(1) - table.diagonal()) / (len(objects) - 1)
                cosines[image_id] = self._categories[image_id][objects], others.numpy()
        return {group: self._summarize(cosines, names) for group, names in groups.items()}

    def _summarize(
        self, cosines: Mapping[int | str, tuple[np.ndarray, np.ndarray]], names: Sequence[str] | None
    ) -> dict[str, Any]:
        wanted = None if names is None else list(category_ids(self._coco.head, list(names), str(self._coco.path)))
        kept = [found if wanted is None else found[np.isin(ids, wanted)] for ids, found in cosines.values()]
        return summarize(kept)

    def _match(self, samples: list[TestSample], outputs: Outputs) -> dict[int | str, tuple[np.ndarray, Tensor]]:
        """Return the numbers (n,) and the queries (n, d) of each image's matched objects."""
        device = outputs.queries.device
        targets = [self._target(sample.image_id, device) for sample in samples]
        matching = self._matcher(outputs.pred_logits[None].float(), outputs.pred_boxes[None].float(), targets)
        found: dict[int | str, tuple[np.ndarray, Tensor]] = {}
        for position, sample in enumerate(samples):
            queries, objects = matching.of_image(0, position)
            found[sample.image_id] = objects, outputs.queries[position][torch.from_numpy(queries)].float().cpu()
        return found

    def _target(self, image_id: int | str, device: torch.device) -> Target:
        boxes = torch.from_numpy(self._targets[image_id]).to(device)
        no_masks = torch.zeros(len(boxes), 0, 0, dtype=torch.uint8, device=device)
        return Target(torch.zeros(len(boxes), dtype=torch.int64, device=device), boxes, no_masks, 0)


Observe = Callable[[list[TestSample], Outputs], None]


def summarize(cosines: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return the mean of the cosines, which are given image by image, and its standard error.

    Objects of one image are alike, so the error is that of a mean over images as clusters. It is None for one image.
    """
    cosines = [found for found in cosines if len(found)]
    count = sum(map(len, cosines))
    if not count:
        return {"mean_cosine": None, "standard_error": None, "num_objects": 0}
    mean = float(np.concatenate(cosines).mean())
    clusters = np.array([(found - mean).sum() for found in cosines])
    error = float(np.sqrt((clusters**2).sum() * len(clusters) / (len(clusters) - 1))) / count if cosines[1:] else None
    return {"mean_cosine": mean, "standard_error": error, "num_objects": count}


def _read_objects(coco: CocoFile) -> tuple[dict[int | str, np.ndarray], dict[int | str, np.ndarray]]:
    """Return the boxes (n, 4), cxcywh normalized float32, and the categories (n,) of each image's objects."""
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco.images}
    corners: dict[int | str, list[tuple[float, ...]]] = {image_id: [] for image_id in sizes}
    categories: dict[int | str, list[Any]] = {image_id: [] for image_id in sizes}
    for annotation in coco.read_annotations():
        image_id = annotation["image_id"]
        if image_id in sizes and not annotation.get("iscrowd", 0):
            corners[image_id].append(bbox_corners(annotation["bbox"]))
            categories[image_id].append(annotation["category_id"])
    boxes = {image_id: _normalize(found, *sizes[image_id]) for image_id, found in corners.items()}
    return boxes, {image_id: np.array(found) for image_id, found in categories.items()}


def _normalize(corners: list[tuple[float, ...]], width: int, height: int) -> np.ndarray:
    sides = torch.tensor([width, height, width, height], dtype=torch.float64)
    boxes = torch.tensor(corners, dtype=torch.float64).reshape(-1, 4) / sides
    return xyxy_to_cxcywh(boxes.clamp(0, 1)).float().numpy()
