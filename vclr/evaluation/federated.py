"""LVIS's own figures, by its evaluator: with classes, of which each image is annotated for some only (federated).

They need predictions with the categories of LVIS, so they say nothing about a class-agnostic detector; the metrics of
`vclr.evaluation.recall` do. LVIS keeps the 300 best predictions per image. A prediction of a category that was not
looked for in its image does not count.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vclr.coco.annotations import Json, to_rle
from vclr.coco.official import open_official
from vclr.coco.plain import check_has_object
from vclr.errors import UserError
from vclr.evaluation.recall import score
from vclr.evaluation.tally import Metrics
from vclr.files import read_json
from vclr.wording import short

CLASS_AGNOSTIC = 1  # the category of all predictions of `vclr evaluate`
_NAMES = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "AR@300": "ar@300"}
_NAMES |= {f"AP{size[0]}": f"ap_{size}" for size in ("small", "medium", "large", "rare", "common", "frequent")}
_NAMES |= {f"AR{size[0]}@300": f"ar@300_{size}" for size in ("small", "medium", "large")}


def _load_truth(path: str | Path) -> Json:
    """Return what is usable of a ground truth of LVIS.

    Raises:
        UserError: the file is invalid, or is not of LVIS.
    """
    coco = open_official(path)
    truth = {**coco.head, "annotations": list(coco.check())}
    check_has_object(path, truth["annotations"])
    needed = {"images": ("neg_category_ids", "not_exhaustive_category_ids"), "categories": ("frequency",)}
    for key, names in needed.items():
        for position, entry in enumerate(truth[key]):
            if missing := [name for name in names if name not in entry]:
                raise UserError(f"{path}: {key}[{position}]: has no `{missing[0]}`, so it is not a json of LVIS")
    return truth


def score_as_lvis(ground_truth: str | Path, predictions: str | Path, intervals: bool = False) -> Metrics:
    """Compute LVIS's own figures beside the class-agnostic metrics, in percent.

    Args:
        ground_truth: a json of LVIS.
        predictions: a file of COCO results with categories of LVIS.
        intervals: as of `recall.score`.

    Returns:
        The metrics of `recall.score`, and LVIS's own: `lvis_box_ap`, `lvis_box_ap50`, `lvis_box_ap75`,
        `lvis_box_ap_small` ..., `lvis_box_ap_rare`, `_common` and `_frequent`, `lvis_box_ar@300`,
        `lvis_box_ar@300_small` ..., and the same with `lvis_mask_`. None if there is no ground truth, and for the masks
        of predictions that are boxes.

    Raises:
        UserError: a file is invalid, the package lvis is not installed, or the predictions have no categories of LVIS.
    """
    lvis = _import_lvis()
    truth = _load_truth(ground_truth)
    entries = _read_results(predictions, truth)
    metrics = score(truth, predictions, intervals=intervals)
    found = _as_results(entries, truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it calls Logger.warn
        annotated = _annotate(lvis, truth)
        for kind, outline in (("box", "bbox"), ("mask", "segm")):
            has_outline = kind == "box" or "segmentation" in found[0]
            values = _evaluate(lvis, annotated, found, outline) if has_outline else {}
            metrics |= {f"lvis_{kind}_{own}": values.get(name) for name, own in _NAMES.items()}
    return metrics


def _annotate(lvis: Any, truth: Json) -> Any:
    """Return a ground truth as LVIS's evaluator reads it, which would take a file with all that is unusable in it."""

    class Usable(lvis.LVIS):  # type: ignore[misc]
        def _load_json(self, content: Json) -> Json:
            return content

    return Usable(truth)


def _evaluate(lvis: Any, annotated: Any, found: list[Json], outline: str) -> Metrics:
    """Run LVIS's evaluator, and return its figures by its own names.

    It writes into the results, and takes the sizes of masks from boxes if there are any.
    """
    left_out = "bbox" if outline == "segm" else ""
    found = [{key: value for key, value in one.items() if key != left_out} for one in found]
    results = lvis.LVISResults(annotated, found)
    evaluation = lvis.LVISEval(annotated, results, outline)
    evaluation.run()
    figures = evaluation.get_results().items()
    return {name: None if value == -1 else 100 * float(value) for name, value in figures}


def _read_results(path: str | Path, truth: Json) -> list[Json]:
    """Return results whose classes are those of LVIS; nothing else about them is checked."""
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: --lvis needs a list of COCO results that is not empty")
    _check_classes(path, entries, truth)
    return entries


def _as_results(entries: list[Json], truth: Json) -> list[Json]:
    """Return valid results in the forms that LVIS's evaluator reads."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    have_boxes = all(one.get("bbox") is not None for one in entries)
    return [_as_result(one, have_boxes, sizes) for one in entries]


def _check_classes(path: str | Path, entries: list[Any], truth: Json) -> None:
    """Refuse classes that LVIS's evaluator would ignore, or those of a class-agnostic detector."""
    known = {category["id"] for category in truth["categories"]}
    found = set()
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            continue  # the class-agnostic metrics report it
        category = entry.get("category_id")
        if isinstance(category, (list, dict)) or category not in known:
            raise UserError(f"{path}: [{position}]: category_id {short(category)} is no category of the ground truth")
        found.add(category)
    annotated = {annotation["category_id"] for annotation in truth["annotations"]}
    if found == {CLASS_AGNOSTIC} != annotated:
        raise UserError(
            f"{path}: all predictions are of category {CLASS_AGNOSTIC}, as those of a class-agnostic detector are; "
            "LVIS's own figures compare classes, so leave out --lvis"
        )


def _as_result(entry: Json, with_box: bool, sizes: dict[Any, tuple[int, int]]) -> Json:
    """Return a result with its mask as compressed RLE. LVIS's evaluator takes boxes from masks if all results do."""
    result = {key: entry[key] for key in ("image_id", "category_id", "score")}
    if with_box:
        result["bbox"] = entry["bbox"]
    if entry.get("segmentation"):
        result["segmentation"] = to_rle(entry["segmentation"], *sizes[entry["image_id"]])
    return result


class _Numpy:
    """numpy with the name `float`, which lvis 0.5.3 uses and numpy 1.24 removed."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _import_lvis() -> Any:
    """Import the package lvis and adapt it to numpy."""
    handler = logging.NullHandler()
    logging.root.addHandler(handler)  # lvis configures the root logger if that has no handler
    try:
        import lvis
        import lvis.eval
    except ImportError as error:
        raise UserError(f"--lvis: the package lvis cannot be imported ({error}): pip install lvis==0.5.3") from None
    finally:
        logging.root.removeHandler(handler)
    lvis.eval.np = _Numpy()
    logging.getLogger("lvis").setLevel(logging.ERROR)
    return lvis
