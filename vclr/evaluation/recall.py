"""Average recall and precision of class-agnostic boxes and masks, from two json files or their contents.

The numbers are those of pycocotools' `COCOeval`, but predictions are taken image by image, and of each only what
`Tally` keeps stays in memory; docs/method.md, section 7, explains the metrics and their names. All values are in
percent. A metric without ground truth is `None`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vclr.catalog.metrics import MAX_DETS
from vclr.coco.annotations import Json
from vclr.coco.file import encode_coco
from vclr.coco.plain import open_ground_truth
from vclr.coco.prediction_checks import check_predictions
from vclr.coco.predictions import group_by_image, read_predictions
from vclr.errors import UsageError
from vclr.evaluation.caps import capped_counts, describe_cap
from vclr.evaluation.intervals import describe_intervals
from vclr.evaluation.scorer import ClassAwareScorer, Scorer
from vclr.worker_pool import WorkerPool

log = logging.getLogger("vclr.evaluation")


def score(
    ground_truth: str | Path | Json,
    predictions: str | Path | list[Json],
    max_dets: Sequence[int] = MAX_DETS,
    categories: list[str] | None = None,
    masks: bool = True,
    intervals: bool = False,
    pool: WorkerPool | None = None,
    class_aware: bool = False,
    boundary: bool = False,
) -> dict[str, Any]:
    """Compare predictions with a ground truth, without regard to classes unless `class_aware` is set.

    Args:
        ground_truth: a COCO json, as a file (see `open_ground_truth`) or as `load_coco` returned it. If only some of
            its annotations have a segmentation, the others count by their filled box.
        predictions: COCO results (`image_id`, `score`, `bbox` xywh absolute, `segmentation`), as a file or a list; or
            the file of a COCO json whose annotations have scores, such as object proposals; its images are found by
            file name. A missing box is taken from the mask. Predictions for images that are left out do not count.
        max_dets: numbers of best detections per image at which recall is measured.
        categories: names of the categories that count; the others' annotations and the images that then have none are
            left out. All count by default.
        masks: if False, masks are not counted and their metrics are `None`.
        intervals: if True, also compute the interval of each metric over images, see `vclr.evaluation.intervals`.
        pool: processes that share the work on a large file; none by default.
        class_aware: a detection only finds objects of its own category, and the metrics are averages over the
            categories that have objects, as pycocotools' with `useCats=1`.
        boundary: also return the metrics of masks with `boundary_`, whose IoU is the lower one of mask and boundary.

    Returns:
        `box_ap`, `box_ap50`, `box_ap75`, `box_ap_small` ... (at 100 detections), `box_ar@1`, `box_ar@10` ...,
        `box_ar@100_small` ... (from 100 detections on), unless `class_aware` is set `box_f1` (the best F1 at an IoU of
        0.50) and `box_f1_score` (the score threshold that gives it), and the same with `mask_`. Mask metrics are `None`
        if the ground truth or the predictions have no segmentation at all. With `intervals`, an entry of this name
        holds `[low, high]` of each metric.

    Raises:
        UserError: a file or an entry of it is invalid.
        UsageError: `max_dets` holds something other than positive integers.
    """
    if isinstance(ground_truth, (str, Path)):
        truth_source, truth = str(ground_truth), open_ground_truth(ground_truth)
    else:
        truth_source = "ground truth"
        truth = encode_coco(ground_truth, truth_source)
    if class_aware and categories is not None:
        raise UsageError("class_aware: counts all categories; leave out `categories`")
    make = ClassAwareScorer if class_aware else Scorer
    scorer = make(truth, {"": categories}, max_dets, masks, truth_source, boundary)
    classes = {category["id"] for category in truth.categories} if class_aware else None
    if isinstance(predictions, (str, Path)):
        with read_predictions(predictions, truth.images, truth_source, pool, classes) as found:
            metrics = scorer.score(found, pool)[""]
    else:
        checked = check_predictions(predictions, truth.images, "predictions", classes)
        metrics = scorer.score(group_by_image(checked))[""]
    source = predictions if isinstance(predictions, (str, Path)) else "predictions"
    _warn_of_cap(source, scorer, max_dets, "image and class" if class_aware else "image")
    return metrics | ({"intervals": describe_intervals(scorer.draw()[""])} if intervals else {})


def _warn_of_cap(source: str | Path, scorer: Scorer, max_dets: Sequence[int], per: str) -> None:
    """Say at which numbers of detections recall means nothing, because there are fewer predictions `per` image."""
    most = max(scorer.max_predictions().values(), default=0)
    if counts := capped_counts(max_dets, most):
        fewer = max({*max_dets} - {*counts})
        log.warning("%s: %s", source, describe_cap(most, counts, f"equals recall at {fewer}", per))
