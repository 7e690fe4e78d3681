"""Average recall and precision of class-agnostic boxes and masks, from two json files or their contents.

pycocotools' `COCOeval` counts; docs/method.md, section 7, explains the metrics and their names. All values are in
percent. A metric without ground truth is `None`.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vclr.catalog.metrics import AP_DETECTIONS, SIZES
from vclr.coco import annotations as coco_json
from vclr.coco.annotations import Json
from vclr.coco.predictions import check_predictions, read_predictions
from vclr.errors import UsageError

MAX_DETS = (1, 10, 20, 30, 50, 100, 300)

Metrics = dict[str, float | None]


def score(
    ground_truth: str | Path | Json,
    predictions: str | Path | list[Json],
    max_dets: Sequence[int] = MAX_DETS,
    categories: list[str] | None = None,
    masks: bool = True,
) -> Metrics:
    """Compare predictions with a ground truth, without regard to classes.

    Args:
        ground_truth: a COCO json, as a file or as `load_coco` returned it. If only some of its annotations have a
            segmentation, the others count by their filled box.
        predictions: COCO results (`image_id`, `score`, `bbox` xywh absolute, `segmentation`), as a file or a list; or
            the file of a COCO json whose annotations have scores, such as object proposals; its images are found by
            file name. A missing box is taken from the mask. Predictions for images that are left out do not count.
        max_dets: numbers of best detections per image at which recall is measured.
        categories: names of the categories that count; the others' annotations and the images that then have none are
            left out. All count by default.
        masks: if False, masks are not counted and their metrics are `None`.

    Returns:
        `box_ap`, `box_ap50`, `box_ap75`, `box_ap_small` ... (at 100 detections), `box_ar@1`, `box_ar@10` ...,
        `box_ar@100_small` ... (from 100 detections on), and the same with `mask_`. Mask metrics are `None` if the
        ground truth or the predictions have no segmentation at all.

    Raises:
        UserError: a file or an entry of it is invalid.
        UsageError: `max_dets` holds something other than positive integers.
    """
    truth_source = str(ground_truth) if isinstance(ground_truth, (str, Path)) else "ground truth"
    truth = coco_json.load_coco(ground_truth) if isinstance(ground_truth, (str, Path)) else ground_truth
    if isinstance(predictions, (str, Path)):
        found = read_predictions(predictions, truth["images"], truth_source)
    else:
        found = check_predictions(predictions, truth["images"], "predictions")
    return score_groups(truth, found, {"": categories}, max_dets, masks, truth_source)[""]


def score_groups(
    truth: Json,
    found: list[Json],
    groups: Mapping[str, list[str] | None],
    max_dets: Sequence[int] = MAX_DETS,
    masks: bool = True,
    truth_source: str = "ground truth",
) -> dict[str, Metrics]:
    """Compare predictions with each of several groups of classes, without regard to classes within a group.

    Args:
        truth: a ground truth as `load_coco` returned it.
        found: predictions as `check_predictions` returned them; they are prepared once for all groups.
        groups: for each group, the names of its categories; None stands for all.
        max_dets: as in `score`.
        masks: as in `score`.
        truth_source: what errors call the ground truth.

    Returns:
        What `score` returns, for each group.
    """
    if not max_dets or any(not isinstance(count, int) or count < 1 for count in max_dets):
        raise UsageError(f"max_dets {list(max_dets)!r}: must be positive whole numbers")
    numbers = _number_images(truth["images"])
    parts = {group: _select(truth, names, truth_source) for group, names in groups.items()}
    truths = {group: _prepare(coco_json.class_agnostic(_by_category(part)), numbers) for group, part in parts.items()}
    found = _prepare(_by_category({"images": [], "annotations": found}), numbers)["annotations"]

    sizes = {numbers[image["id"]]: (image["height"], image["width"]) for image in truth["images"]}
    scores = _score_kind("box", truths, found, sizes, max_dets)
    with_masks = {group: part for group, part in truths.items() if masks and _has_masks_in(part, found)}
    of_masks = _score_kind("mask", with_masks, found, sizes, max_dets) if with_masks else {}
    without = {name.replace("box_", "mask_", 1): None for metrics in scores.values() for name in metrics}
    return {group: {**scores[group], **of_masks.get(group, without)} for group in groups}


def _select(truth: Json, categories: list[str] | None, source: str) -> Json:
    """Keep the annotations of some categories, and the images that have one; None keeps everything."""
    if categories is None:
        return truth
    wanted = coco_json.category_ids(truth, categories, source)
    return coco_json.select(truth, lambda annotation: annotation["category_id"] in wanted)


def _has_masks_in(truth: Json, found: list[Json]) -> bool:
    """Tell whether a ground truth has masks and the predictions for its images, if there are any, have masks too."""
    found = _of_images(found, truth)
    return _has_masks(truth["annotations"]) and (not found or _has_masks(found))


def _of_images(annotations: list[Json], truth: Json) -> list[Json]:
    images = {image["id"] for image in truth["images"]}
    return [annotation for annotation in annotations if annotation["image_id"] in images]


def _has_masks(annotations: list[Json]) -> bool:
    return any(annotation.get("segmentation") is not None for annotation in annotations)


def _by_category(coco: Json) -> Json:
    """Sort annotations by category, as pycocotools does even if it ignores classes: it decides between equals."""
    return {**coco, "annotations": sorted(coco["annotations"], key=lambda annotation: annotation["category_id"])}


def _number_images(images: list[Json]) -> dict[int | str, int]:
    """Number images from 1, by their ids.

    COCOeval takes id 0 for "no match", and sorts image ids, which text and numbers together do not allow.
    """
    ids = sorted((image["id"] for image in images), key=lambda image_id: (isinstance(image_id, str), image_id))
    return {image_id: number for number, image_id in enumerate(ids, start=1)}


def _prepare(coco: Json, numbers: dict[int | str, int]) -> Json:
    """Number images as `numbers` says and annotations from 1, and give all annotations one category."""
    images = [{**image, "id": numbers[image["id"]]} for image in coco["images"]]
    annotations = [
        {**annotation, "id": number, "image_id": numbers[annotation["image_id"]], "category_id": 1}
        for number, annotation in enumerate(coco["annotations"], start=1)
    ]
    return {**coco, "images": images, "annotations": annotations}


def _score_kind(
    kind: str,
    truths: dict[str, Json],
    found: list[Json],
    sizes: dict[int, tuple[int, int]],
    max_dets: Sequence[int],
) -> dict[str, Metrics]:
    """Return the metrics of boxes (`kind` "box") or masks ("mask") for each ground truth."""
    is_mask = kind == "mask"
    found = [_measure(_shape(prediction, sizes, is_mask), is_mask) for prediction in found]
    scores = {}
    for group, truth in truths.items():
        shaped = {**truth, "annotations": [_shape(annotation, sizes, is_mask) for annotation in truth["annotations"]]}
        scores[group] = _count(kind, shaped, _of_images(found, truth), max_dets)
    return scores


def _count(kind: str, truth: Json, found: list[Json], max_dets: Sequence[int]) -> Metrics:
    """Let pycocotools count, and name its results."""
    counts = sorted({*max_dets, AP_DETECTIONS})
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress by print
        iou_type = "segm" if kind == "mask" else "bbox"
        evaluator = COCOeval(_index(truth), _index({**truth, "annotations": found}), iou_type)
        evaluator.params.maxDets = counts
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]

    # precision: (IoU, recall, category, area, detections); recall the same without its second axis; -1: no ground truth
    at_100 = precision[:, :, 0, :, counts.index(AP_DETECTIONS)]
    scores = {f"{kind}_ap": _percent(at_100[:, :, 0])}
    scores |= {f"{kind}_ap50": _percent(at_100[0, :, 0]), f"{kind}_ap75": _percent(at_100[5, :, 0])}
    scores |= {f"{kind}_ap_{size}": _percent(at_100[:, :, area]) for area, size in enumerate(SIZES, start=1)}
    for count in sorted(set(max_dets)):
        at_count = recall[:, 0, :, counts.index(count)]
        scores[f"{kind}_ar@{count}"] = _percent(at_count[:, 0])
        if count >= AP_DETECTIONS:
            scores |= {f"{kind}_ar@{count}_{size}": _percent(at_count[:, area]) for area, size in enumerate(SIZES, 1)}
    return scores


def _shape(annotation: Json, sizes: dict[int, tuple[int, int]], is_mask: bool) -> Json:
    """Return a copy with its mask as compressed RLE, or without one for the counting of boxes."""
    shaped = copy.copy(annotation)
    segmentation = shaped.pop("segmentation", None)
    if is_mask:
        x, y, w, h = annotation["bbox"]
        corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        shaped["segmentation"] = coco_json.to_rle(segmentation or corners, *sizes[annotation["image_id"]])
    return shaped


def _measure(prediction: Json, is_mask: bool) -> Json:
    """Add the area that decides between small, medium and large: the mask's own if masks are counted."""
    _, _, width, height = prediction["bbox"]
    area = float(coco_mask.area(prediction["segmentation"])) if is_mask else width * height
    return {**prediction, "area": area, "iscrowd": 0}


def _index(dataset: Json) -> COCO:
    indexed = COCO()
    indexed.dataset = dataset
    indexed.createIndex()
    return indexed


def _percent(values: np.ndarray) -> float | None:
    """Average the values that have ground truth."""
    present = values[values > -1]
    return float(present.mean()) * 100 if present.size else None
