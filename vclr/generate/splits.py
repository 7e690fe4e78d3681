"""Open-world splits: which classes of a data set are known, which are novel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vclr.coco import category_ids, load_coco, select, summarize
from vclr.errors import UsageError, nearest
from vclr.files import write_json

VOC_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "boat", "bird", "cat",
    "dog", "horse", "sheep", "cow", "bottle", "chair", "couch", "potted plant", "dining table", "tv",
)  # fmt: skip
TOY_KNOWN_CLASSES = ("disk", "square", "triangle", "ellipse", "star", "cross")


@dataclass(frozen=True)
class Split:
    """Classes by name: those kept, or, `inverted`, all others."""

    classes: tuple[str, ...]
    inverted: bool = False


SPLITS = {
    "voc": Split(VOC_CLASSES),
    "nonvoc": Split(VOC_CLASSES, inverted=True),
    "toy_known": Split(TOY_KNOWN_CLASSES),
    "toy_novel": Split(TOY_KNOWN_CLASSES, inverted=True),
}


def write_split(name: str, annotations: str | Path, output: str | Path) -> str:
    """Write the annotations of a split's classes, and the images that have one outside crowds.

    Args:
        name: one of `SPLITS`.
        annotations: COCO json with all classes.
        output: the json to write.

    Returns:
        What the split holds, in words.

    Raises:
        UsageError: no such split.
        UserError: the json is not what it should be, or lacks a class of the split.
    """
    if name not in SPLITS:
        raise UsageError(f"unknown split {name!r}; nearest: {nearest(name, SPLITS)}; there are {', '.join(SPLITS)}")
    coco, split = load_coco(annotations), SPLITS[name]
    ids = category_ids(coco, list(split.classes), str(annotations))
    kept = select(coco, lambda annotation: (annotation["category_id"] in ids) != split.inverted)
    kept["categories"] = [category for category in coco["categories"] if (category["id"] in ids) != split.inverted]
    write_json(output, kept)
    return f"{output}: {summarize(kept)}, {len(kept['categories'])} classes"
