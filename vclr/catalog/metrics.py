"""The names of the metrics that are shown wherever results are summarized."""

from __future__ import annotations

from collections.abc import Sequence

KINDS = ("box", "mask")
BOUNDARY = "boundary"  # masks again, which must also agree along their outlines; only on request
SIZES = ("small", "medium", "large")  # area below 32 x 32, below 96 x 96, and above: pycocotools' ranges
AP_DETECTIONS = 100  # average precision, and the smallest number of detections at which recall is split by size
AP_THRESHOLDS = {"ap50": 0.5, "ap75": 0.75}  # IoUs at which average precision is also given alone
MAX_DETS = (1, 10, 20, 30, 50, 100, 300)  # default numbers of detections at which recall is measured
MAX_PREDICTIONS = "max_predictions"  # key beside the metrics: the largest number of predictions for an image
FEWEST = 10  # recall at the smallest measured number of detections of at least this is always shown

# The metric that experiments are compared by, and its replacement if no masks were evaluated.
HEADLINE, BOX_HEADLINE = "mask_ar@100", "box_ar@100"
BOUNDARY_HEADLINE = "boundary_ar@100"  # shown only if it was measured
# The metrics of paired tests, the study and MLflow.
SHOWN_METRICS = (
    *(HEADLINE, "mask_ar@10", "mask_ap"),
    *(BOX_HEADLINE, "box_ar@10", "box_ap"),
    *(BOUNDARY_HEADLINE, "boundary_ar@10", "boundary_ap"),
)
# The columns of the report's table, which summary.json holds too.
TABLE_METRICS = (HEADLINE, "mask_ar@10", BOX_HEADLINE, BOUNDARY_HEADLINE)
# What `vclr evaluate` prints.
PRINTED_METRICS = ("box_ar@10", BOX_HEADLINE, "mask_ar@10", HEADLINE, BOUNDARY_HEADLINE)


def metric_names(kind: str, max_dets: Sequence[int]) -> list[str]:
    """List all metrics of boxes or masks (`kind`), with recall at these numbers of detections per image."""
    precisions = ["ap", *AP_THRESHOLDS, *(f"ap_{size}" for size in SIZES)]
    recalls = [f"ar@{count}{size}" for count in sorted(set(max_dets)) for size in recall_sizes(count)]
    return [f"{kind}_{name}" for name in (*precisions, *recalls)]


def f1_names(kind: str) -> tuple[str, str]:
    """Return the names of the best F1 at an IoU of 0.50, in percent, and of the score threshold that gives it."""
    return f"{kind}_f1", f"{kind}_f1_score"


def recall_sizes(count: int) -> Sequence[str]:
    """List the ends of the names of recall at a number of detections: "" for all sizes, then each size if it counts."""
    return ("", *(f"_{size}" for size in SIZES)) if count >= AP_DETECTIONS else ("",)


def detections_of(metric: str) -> int:
    """Return the number of detections in the name of a recall, such as `box_ar@100`; 0 for other metrics."""
    count = metric.partition("_ar@")[2].partition("_")[0]
    return int(count) if count else 0
