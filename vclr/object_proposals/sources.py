"""Files of object proposals that are read image by image, and the annotations that they are compared with."""

from __future__ import annotations

import logging
from array import array
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from vclr.coco.annotations import OBJECT, Json, box_polygon, open_checked
from vclr.coco.file import CocoFile, open_coco
from vclr.coco.prediction import Prediction, Rle, Size
from vclr.coco.prediction_checks import PredictionChecks
from vclr.coco.predictions import PredictionsFile
from vclr.errors import UserError
from vclr.file_names import file_key

log = logging.getLogger("vclr.coco")

SIZE = ("height", "width")


def open_source(path: Path, images: list[Json], annotations: str | Path) -> PredictionsFile:
    """Open a file of proposals and check it; annotations without a score are left out with a warning.

    Args:
        path: COCO results, or a COCO json whose annotations have scores.
        images: the images whose proposals are wanted.
        annotations: the name of the file that lists them, for errors.

    Raises:
        UserError: the file or one of its entries is not valid, nothing in it has a score, or it has none of the images.
    """
    checks = PredictionChecks(images)
    found = PredictionsFile(path, images, annotations, checks, only_scored=True)
    try:
        checks.finish(path)
        if found.num_unscored and not found.entries:
            raise UserError(f"{path}: none of its annotations for these images has a `score`, so it holds no proposals")
    except UserError:
        found.close()
        raise
    if found.num_unscored:
        log.warning("%s: %d annotations without a `score` are no proposals; left out", path, found.num_unscored)
    if not found.entries:
        log.warning("%s: holds no proposals", path)
    return found


def info_of(source: PredictionsFile) -> Json:
    """Describe a file of proposals for the `info` of one that is made from it."""
    head = source.stream.head
    info = head.get("info") if isinstance(head, dict) else None
    own = {"file": Path(source.path).name, "sha256": source.stream.sha256()}
    return {**own, "info": info} if isinstance(info, dict) else own


def list_images(paths: Sequence[Path]) -> list[Json]:
    """List the images of several files of proposals, each once, whatever the order of the files.

    Images that all files list alike keep their order and ids. Otherwise they are sorted by file name, and numbered from
    1 if a file gives one another id.

    Raises:
        UserError: a file is no COCO json with `images`, or an image has two sizes.
    """
    lists = [_read_images(path) for path in paths]
    if all(images == lists[0] for images in lists):
        return lists[0]
    merged: dict[str, Json] = {}
    ids: defaultdict[Any, set[str]] = defaultdict(set)
    for path, images in zip(paths, lists, strict=True):
        for image in images:
            key = file_key(image["file_name"])
            other = merged.setdefault(key, image)
            ids[image["id"]].add(key)
            if any(image[side] != other[side] for side in SIZE):
                sizes = " and ".join(f"{one['width']}x{one['height']}" for one in (other, image))
                raise UserError(f"{path}: {image['file_name']} has two sizes in these files, {sizes}")
    named = {(image["id"], file_key(image["file_name"])) for images in lists for image in images}
    is_same = len(named) == len(merged) and all(len(names) == 1 for names in ids.values())
    ordered = [merged[key] for key in sorted(merged)]
    return ordered if is_same else [{**image, "id": number} for number, image in enumerate(ordered, 1)]


def _read_images(path: Path) -> list[Json]:
    coco = open_coco(path)
    coco.check_images()
    return plain_images(coco.images)


def plain_images(images: Sequence[Json]) -> list[Json]:
    """Return what a file of proposals says of its images."""
    return [{key: image[key] for key in ("id", "file_name", *SIZE)} for image in images]


class KnownObjects:
    """The annotations of a COCO json, image by image; they stay encoded until they are used.

    Attributes:
        images: the images of the json.
    """

    def __init__(self, path: Path) -> None:
        """Open the json and check it.

        Raises:
            UserError: it is not valid.
        """
        self._coco: CocoFile = open_checked(path)
        self.images = self._coco.images
        self._places: defaultdict[Any, array[int]] = defaultdict(lambda: array("q"))
        for place, annotation in enumerate(self._coco.read_annotations()):
            self._places[annotation["image_id"]].append(place)

    def of_image(self, image_id: Any) -> list[Json]:
        """Return the annotations of an image."""
        return self._coco.decode(self._places[image_id]) if image_id in self._places else []


def as_entry(found: Prediction, size: Size, score: float, fill_box: bool = False) -> Json:
    """Return a proposal as an annotation, which lacks its id.

    Args:
        found: the proposal; it has a box.
        size: height and width of its image.
        score: its score.
        fill_box: if it has no mask, make its box the mask.
    """
    assert found.bbox is not None
    box = [int(value) if float(value).is_integer() else round(value, 3) for value in found.bbox]
    entry: Json = {"image_id": found.image_id, "category_id": OBJECT["id"], "bbox": box, "area": box[2] * box[3]}
    if found.segmentation is not None:
        rle = found.to_rle(size)
        entry["area"] = int(coco_mask.area(rle))
        is_mask = isinstance(found.segmentation, Rle)
        as_text = {"size": [*map(int, rle["size"])], "counts": rle["counts"].decode("ascii")}
        entry["segmentation"] = as_text if is_mask else found.segmentation
    elif fill_box:
        entry["segmentation"] = [box_polygon(box)]
    return {**entry, "score": round(score, 6), "iscrowd": 0}
