"""Score a file of predictions with pycocotools, without regard to classes, and write its metrics under our names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vclr.catalog.metrics import AP_DETECTIONS, MAX_DETS, SIZES


def main(truth: str, predictions: str, output: str, iou_type: str) -> None:
    """Write the metrics."""
    ground_truth, found = COCO(truth), json.loads(Path(predictions).read_text())
    if iou_type == "segm":
        for one in found:  # as detectron2 does; otherwise the area of the box says whether a mask is small
            del one["bbox"]
    evaluator = COCOeval(ground_truth, ground_truth.loadRes(found), iou_type)
    evaluator.params.maxDets = list(MAX_DETS)
    evaluator.params.useCats = 0
    evaluator.evaluate()
    evaluator.accumulate()
    kind = {"bbox": "box", "segm": "mask"}[iou_type]
    Path(output).write_text(json.dumps(name_metrics(evaluator, kind)))


def name_metrics(evaluator: COCOeval, kind: str) -> dict[str, float | None]:
    """Return average precision, and recall at each number of detections, in percent."""
    precision, recall = evaluator.eval["precision"].mean(axis=2), evaluator.eval["recall"].mean(axis=1)
    at_ap = MAX_DETS.index(AP_DETECTIONS)
    metrics = {f"{kind}_ap": _percent(precision[:, :, 0, at_ap])}
    for count in MAX_DETS:
        metrics[f"{kind}_ar@{count}"] = _percent(recall[:, 0, MAX_DETS.index(count)])
    for area, size in enumerate(SIZES, start=1):
        metrics[f"{kind}_ap_{size}"] = _percent(precision[:, :, area, at_ap])
        metrics[f"{kind}_ar@{AP_DETECTIONS}_{size}"] = _percent(recall[:, area, at_ap])
    return metrics


def _percent(values: np.ndarray) -> float | None:
    present = values[values > -1]
    return float(present.mean()) * 100 if present.size else None


if __name__ == "__main__":
    main(*sys.argv[1:])
