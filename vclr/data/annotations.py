"""The annotations of the training set: from json to the packed objects of each image, never all as Python objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import msgspec
import numpy as np

from vclr.coco.annotations import Json, open_images
from vclr.coco.checks import is_proposal
from vclr.coco.file import open_coco
from vclr.coco.unusable import remove_unusable_polygons
from vclr.config import DataSetConfig, ProposalsConfig
from vclr.data.objects import Objects
from vclr.data.packed import PackedList
from vclr.errors import UserError
from vclr.object_proposals.join import choose_from_file
from vclr.splits.with_proposals import no_proposals, refuse_scored


def load_objects(
    data_set: DataSetConfig, filter_empty: bool, proposals: ProposalsConfig
) -> tuple[list[Json], PackedList[Objects]]:
    """Read a training set as `load_annotations` does; return the entries of the images, and the objects per image."""
    entries, by_image = load_annotations(data_set, filter_empty, proposals)
    return entries, PackedList(map(Objects.from_annotations, by_image))


def load_annotations(
    data_set: DataSetConfig, filter_empty: bool, proposals: ProposalsConfig
) -> tuple[list[Json], Iterator[list[Json]]]:
    """Read and check the annotations of a training set, and the proposals that join them.

    Crowds and unusable annotations are left out. With `proposals.only`, so are all annotations without a score.

    Args:
        data_set: its files; every image that the annotations name must be there.
        filter_empty: leave out images without an object; a proposal that joins is one.
        proposals: which proposals join.

    Returns:
        The entries of the images, and the annotations of each image in turn.

    Raises:
        UsageError: the annotations hold proposals already, and others are to join them.
        UserError: in one line, the file and the entry at fault; or there is no image left, or no proposal.
    """
    coco = open_coco(data_set.annotations)
    checks = coco.check_images()
    open_images(data_set.images, coco.images, coco.path)
    places = {image["id"]: place for place, image in enumerate(coco.images)}
    owners = np.full(
        len(coco.annotations), -1, dtype=np.int64
    )  # the place of an annotation's image; -1 if it is left out
    boxes = array("d")  # four numbers per annotation
    for number, annotation in enumerate(coco.read_annotations()):
        is_kept = checks.check_annotation(number, annotation).is_kept
        if data_set.proposals:
            refuse_scored(f"data.train.proposals={data_set.proposals}", data_set.annotations, number, annotation)
            boxes.extend(annotation["bbox"])
        if is_kept and not annotation.get("iscrowd", 0) and (not proposals.only or is_proposal(annotation)):
            owners[number] = places[annotation["image_id"]]
    checks.finish(len(coco.annotations))
    counts, by_image = _group(owners, len(coco.images))
    added: dict[int | str, list[msgspec.Raw]] = {}
    if data_set.proposals:
        rows = np.array(boxes).reshape(-1, 4)
        known = (rows[numbers] for numbers in by_image)
        files = data_set.proposals, coco.images, known, proposals.top_k, data_set.annotations
        chosen = choose_from_file(*files, max_iou=proposals.max_iou)
        for image_id, text in zip(chosen.image_ids, chosen.texts(), strict=True):
            added.setdefault(image_id, []).append(text)
    if proposals.only and not added and not counts.any():
        raise no_proposals("proposals.only=True", data_set)
    has_object = [count > 0 or image["id"] in added for count, image in zip(counts.tolist(), coco.images, strict=True)]
    kept = [place for place, has_any in enumerate(has_object) if has_any or not filter_empty]
    if not kept:
        raise UserError(f"{data_set.annotations}: holds no image with an object")
    entries = [coco.images[place] for place in kept]
    texts = (
        [coco.annotations[number] for number in by_image[place].tolist()] + added.get(coco.images[place]["id"], [])
        for place in kept
    )
    return entries, ([*map(_decode, group)] for group in texts)


def _group(owners: np.ndarray, num_images: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the number of annotations of each image, and their numbers, given the place of each one's image or -1."""
    counts = np.bincount(owners[owners >= 0], minlength=num_images)
    return counts, np.split(np.argsort(owners, kind="stable")[np.count_nonzero(owners < 0) :], counts.cumsum()[:-1])


def _decode(text: msgspec.Raw) -> Json:
    annotation: Json = remove_unusable_polygons(msgspec.json.decode(text))
    return annotation
