"""A split as files: the json, and next to it the record of its sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vclr
from vclr.coco.annotations import say_contents
from vclr.coco.checks import Json
from vclr.coco.file import write_coco
from vclr.coco.record import record_path, remove_record
from vclr.files import identify, write_json
from vclr.image_folders.open import Images
from vclr.object_proposals.choose import MAX_IOU
from vclr.splits.leaks import audit_leaks, photo_set, read_photo_set
from vclr.splits.split import MadeSplit
from vclr.wording import count_of


def find_leaks(
    made: MadeSplit,
    images: Images | None,
    train: str | Path,
    train_images: Images | None = None,
    quiet: bool = False,
) -> Json:
    """Find the images of a split that are also in a training set; see `audit_leaks`."""
    evaluation = photo_set(made.source.path, made.images, images)
    return audit_leaks(read_photo_set(train, train_images), evaluation, quiet)


def save_split(made: MadeSplit, output: str | Path, leaks: Json | None = None) -> str:
    """Write a split's json and its record `OUTPUT.record.json`, which depend on the split and its sources alone.

    Args:
        made: the split.
        output: the json to write.
        leaks: the result of `find_leaks`.

    Returns:
        A line that sums up the split.
    """
    output = Path(output)
    sources: Json = {"annotations": identify(made.source.path)}
    if made.proposals is not None:
        sources["proposals"] = identify(made.proposals.source.path)
    remove_record(output)
    counts: Counter[tuple[int, bool]] = Counter()
    write_coco(output, made.head, _count(made.annotations(), counts))
    crowds = sum(number for (_, is_crowd), number in counts.items() if is_crowd)
    objects = counts.total() - crowds
    record: Json = {"split": made.name, "vclr": vclr.__version__, **sources, **_describe_classes(made, counts)}
    if made.proposals is not None:
        chosen = {"per_image": made.split.top_k, "max_iou": MAX_IOU, "chosen": len(made.proposals.positions)}
        record["proposals"] = {**record["proposals"], **chosen}
    record |= {"images": len(made.images), "objects": objects, "crowds": crowds, "output": identify(output)}
    if leaks is not None:
        record["leaks"] = leaks
    write_json(record_path(output), record, indent=1)
    classes = count_of(len(made.categories), "class", "classes")
    return f"{output}: {say_contents(len(made.images), objects, crowds)}, {classes}"


def _describe_classes(made: MadeSplit, counts: Counter[tuple[int, bool]]) -> Json:
    """List the classes of the source that are kept and left out; count the objects per class unless all become one."""
    kept, left_out = ([category["name"] for category in made.source_categories(is_kept)] for is_kept in (True, False))
    classes: Json = {"kept": kept, "left_out": left_out}
    if not made.split.is_one_class:
        classes["objects_by_class"] = {entry["name"]: counts[entry["id"], False] for entry in made.categories}
    return classes


def _count(annotations: Iterator[Json], counts: Counter[tuple[Any, bool]]) -> Iterator[Json]:
    for annotation in annotations:
        counts[annotation["category_id"], bool(annotation.get("iscrowd", 0))] += 1
        yield annotation
