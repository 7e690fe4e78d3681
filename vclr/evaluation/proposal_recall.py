"""How many annotated objects object proposals find, and how many of the proposals are one: known and novel apart.

The figures `ar` are those of `vclr score`, from the same matches.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vclr.catalog.classes import ALL, CLASS_LISTS, KNOWN, NOVEL
from vclr.catalog.metrics import AP_DETECTIONS, KINDS, SIZES
from vclr.coco.file import CocoFile
from vclr.coco.plain import open_ground_truth
from vclr.coco.predictions import PredictionsFile, read_predictions
from vclr.errors import UsageError, nearest
from vclr.evaluation.scorer import Scorer
from vclr.evaluation.tally import THRESHOLDS, Tally
from vclr.file_names import file_key
from vclr.worker_pool import WorkerPool

log = logging.getLogger("vclr.coco")

COUNTS = (10, 30, AP_DETECTIONS)  # best proposals per image that are measured
SHOWN = ("ar", "recall", "precision")
ENDS = ("", *(f"_{size}" for size in SIZES))  # of the names of figures: all sizes, then each


@dataclass
class ProposalRecall:
    """The figures of a file of proposals, in percent.

    Attributes:
        groups: for each group of classes `box_ar@10` (average over the IoUs from 0.50 to 0.95), `box_recall@10` (at one
            IoU), both also by size (`box_ar@10_small`), and the same with `mask_`, which are None if the ground truth
            or the proposals have no masks. The group of all classes also has `box_precision@10`: the share of proposals
            that find an object at this IoU; those in crowds do not count.
        iou: the one IoU.
        max_proposals: the largest number of proposals for an image.
    """

    groups: dict[str, dict[str, float | None]]
    iou: float
    max_proposals: int

    def as_json(self) -> dict[str, Any]:
        """Return them for a json file."""
        return {"iou": self.iou, "max_proposals": self.max_proposals, "groups": self.groups}

    def describe(self) -> str:
        """Return them as a table of lines, by size for all classes alone."""
        head = "".join(f"{f'@{count}':>8}" for count in COUNTS)
        lines = [f"{'':28}{head}"]
        for group, figures in self.groups.items():
            ends = ENDS if group == ALL else ENDS[:1]
            rows = [(kind, name, end) for kind in KINDS for name in SHOWN for end in ends]
            for kind, name, end in rows:
                values = [figures.get(f"{kind}_{name}@{count}{end}") for count in COUNTS]
                if any(value is not None for value in values):
                    cells = "".join(f"{'-' if value is None else f'{value:.1f}':>8}" for value in values)
                    lines.append(f"{f'{group} {kind}_{name}{end}':28}{cells}")
        return "\n".join(lines)


def measure_recall(
    proposals: Path, ground_truth: Path, known: str = "", iou: float = 0.5, pool: WorkerPool | None = None
) -> ProposalRecall:
    """Measure a file of proposals.

    Args:
        proposals: COCO json of proposals, or COCO results.
        ground_truth: COCO json with annotations.
        known: a list of `CLASS_LISTS`, or names of categories with commas between them: these are the group `known`,
            the others the group `novel`. Without it there is only the group of all classes.
        iou: one of 0.50, 0.55 ... 0.95: when a proposal finds an object.
        pool: processes that share the work on a large file.

    Raises:
        UsageError: `iou` is another number, or `known` names all categories.
        UserError: a file is not valid, or there is no category of a name.
    """
    threshold = int(np.abs(THRESHOLDS - iou).argmin())
    if abs(THRESHOLDS[threshold] - iou) > 1e-6:
        raise UsageError(f"--iou {iou:g}: must be one of {', '.join(f'{one:.2f}' for one in THRESHOLDS)}")
    truth = open_ground_truth(ground_truth)
    scorer = Scorer(truth, _groups(truth, known), COUNTS, truth_source=str(ground_truth))
    with read_predictions(proposals, truth.images, ground_truth, pool) as found:
        _warn_of_photos_elsewhere(found, truth)
        metrics = scorer.score(found, pool)
    groups: dict[str, dict[str, float | None]] = {}
    for group, figures in metrics.items():
        groups[group] = {}
        for kind in KINDS:
            tally = scorer.tallies.get((group, kind))
            is_measured = tally is not None and figures[f"{kind}_ar@{COUNTS[-1]}"] is not None
            own = _figures(tally, threshold, group == ALL) if tally is not None and is_measured else {}
            groups[group] |= {f"{kind}_{name}": own.get(name) for name in _names(group == ALL)}
    return ProposalRecall(groups, iou, scorer.max_predictions()[ALL])


def _warn_of_photos_elsewhere(found: PredictionsFile, truth: CocoFile) -> None:
    """Say how many photos the file of proposals does not list: all of their objects count as missed."""
    if isinstance(found.stream.head, dict) and "images" in found.stream.head:
        listed = {file_key(image["file_name"]) for image in found.stream.head["images"]}
        num_absent = sum(file_key(image["file_name"]) not in listed for image in truth.images)
        if num_absent:
            says = "%s: lists only %d of the %d images of %s; objects in the others count as missed"
            log.warning(says, found.path, len(truth.images) - num_absent, len(truth.images), truth.path)


def _groups(truth: CocoFile, known: str) -> dict[str, list[str] | None]:
    if not known:
        return {ALL: None}
    names = list(CLASS_LISTS.get(known, ())) or [name.strip() for name in known.split(",") if name.strip()]
    every = list(dict.fromkeys(category["name"] for category in truth.categories))
    if len(names) == 1 and names[0] not in every:
        near = nearest(names[0], [*CLASS_LISTS, *every])
        raise UsageError(f"--known {known}: is neither a list of classes nor a category; nearest: {near}")
    novel = [name for name in every if name not in names]
    if not novel:
        raise UsageError(f"--known {known}: these are all categories of {truth.path}; none is left as novel")
    return {ALL: None, KNOWN: names, NOVEL: novel}


def _names(with_precision: bool) -> list[str]:
    recalls = [f"{name}@{count}{end}" for name in SHOWN[:2] for count in COUNTS for end in ENDS]
    return recalls + [f"precision@{count}" for count in COUNTS if with_precision]


def _figures(tally: Tally, threshold: int, with_precision: bool) -> dict[str, float | None]:
    recall = tally.recall()  # (m, a, t)
    figures: dict[str, float | None] = {}
    for count, by_size in zip(COUNTS, recall, strict=True):
        for end, values in zip(ENDS, by_size, strict=True):
            figures[f"ar@{count}{end}"] = _percent(values)
            figures[f"recall@{count}{end}"] = _percent(values[threshold : threshold + 1])
        if with_precision:
            figures[f"precision@{count}"] = _precision(tally, count, threshold)
    return figures


def _precision(tally: Tally, count: int, threshold: int) -> float | None:
    """Return the share of the best proposals of each image that find an object, without those that find a crowd."""
    num_true = num_false = 0
    for image in tally.images.values():
        num_best = min(count, len(image.detections.scores))
        is_among = image.matched < count
        flags = np.unpackbits(image.flags[0], axis=0)  # true at each threshold, then false at each
        is_true, is_false = flags[threshold, is_among], flags[len(THRESHOLDS) + threshold, is_among]
        num_true += int(is_true.sum())
        num_false += int(is_false.sum()) + num_best - len(is_true)
    return 100 * num_true / (num_true + num_false) if num_true + num_false else None


def _percent(values: Sequence[float] | np.ndarray) -> float | None:
    """Return the mean of recalls; None without an object."""
    return float(np.mean(values)) * 100 if values[0] > -1 else None
