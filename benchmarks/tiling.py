"""What `--tile` finds in a mosaic of photos, beside what is found in the photos one by one.

Photos with annotations (default: the first validation scenes of the demo) are enlarged, searched one by one, and
searched in tiles as one mosaic. Printed are shares of what the photos give one by one that the mosaic gives as well,
with a mask IoU of at least 0.5 and the same minimum score: of the annotated objects that are found, and of all
detections. Beside them is the share of the detections that the photos give again if each loses a strip at its left
side: tiles, which begin elsewhere than the photos, cannot be expected to repeat more.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, encode_mask, load_coco, to_mask
from vclr.config import TestMapperConfig
from vclr.data.samples import make_test_sample
from vclr.evaluation.inference import predict_samples
from vclr.evaluation.placed_masks import place_mask
from vclr.evaluation.tiled import Tiling, predict_tiled
from vclr.evaluation.tiles import Tile
from vclr.image_folders.open import open_folder
from vclr.models.detector import Detector
from vclr.models.ready import open_detector
from vclr.structures import MaskForm, Predictions, Size

MIN_IOU = 0.5
MIN_SCORES = (0.3, 0.4, 0.5)


class Found(NamedTuple):
    """An object of the mosaic: score, box (xyxy), and mask of the whole mosaic."""

    score: float
    box: np.ndarray
    mask: Json


def main(arguments: list[str]) -> None:
    """Print the shares for each minimum score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/demo/seed0/checkpoints/last.pt"))
    parser.add_argument("--annotations", type=Path, default=Path("data/raw/toy/annotations_val.json"))
    parser.add_argument("--images", type=Path, default=Path("data/raw/toy/images"))
    parser.add_argument("--first", type=int, default=0, help="number of photos to leave out at the start")
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--columns", type=int, default=5)
    parser.add_argument("--size", type=int, nargs=2, default=(1600, 1500), help="width and height of a photo")
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--strip", type=int, default=24, help="columns that each photo loses")
    options = parser.parse_args(arguments)
    model, config = open_detector(options.checkpoint, "cpu")
    mapper = config.dataloader.test.mapper
    width, height = options.size
    coco = load_coco(options.annotations, options.images)
    folder = open_folder(options.images)
    images = list(islice(coco["images"], options.first, options.first + options.photos))
    rows = -(-len(images) // options.columns)
    size = height * rows, width * options.columns
    mosaic = np.zeros((*size, 3), np.uint8)
    annotated: list[Found] = []
    one_by_one: list[Found] = []
    again: list[Found] = []
    for number, image in enumerate(images):
        row, column = divmod(number, options.columns)
        place = Tile(column * width, row * height, (column + 1) * width, (row + 1) * height)
        photo = np.asarray(folder.open(image["file_name"]).resize((width, height), Image.Resampling.BICUBIC))
        mosaic[place.top : place.bottom, place.left : place.right] = photo
        sides = image["height"], image["width"]
        annotated += [
            Found(1.0, corners_of(mask), mask)
            for one in coco["annotations"]
            if one["image_id"] == image["id"] and not one.get("iscrowd")
            for mask in [place_mask(encode_mask(to_mask(one["segmentation"], *sides)), place, size)]
        ]
        one_by_one += search(model, photo, mapper, place, size)
        cut = place._replace(left=place.left + options.strip)
        again += search(model, np.ascontiguousarray(photo[:, options.strip :]), mapper, cut, size)
    started = time.perf_counter()
    tiled = as_found(predict_tiled(model, mosaic, mapper, Tiling(options.tile, options.overlap)))
    seconds = time.perf_counter() - started
    print(f"{len(images)} photos, {len(annotated)} annotated objects; mosaic of {size[1]}x{size[0]}: {seconds:.0f} s")
    for score in MIN_SCORES:
        detections = [one for one in one_by_one if one.score >= score]
        uncut = [one for one in detections if one.box[0] % width >= options.strip]
        known = [one for one in annotated if is_among(one, one_by_one, score)]
        num_known = sum(is_among(one, tiled, score) for one in annotated)
        print(f"score of at least {score:g}:")
        print(f"  annotated objects that the photos give: {share(known, tiled, score)}; in all, tiles give {num_known}")
        print(f"  detections of the photos: {share(detections, tiled, score)}, of {sum_of(tiled, score)} in tiles")
        print(f"  detections that the photos give without their strip: {share(uncut, again, score)}", flush=True)


def search(model: Detector, photo: np.ndarray, mapper: TestMapperConfig, place: Tile, size: Size) -> list[Found]:
    """Find the objects of a photo, as objects of the mosaic."""
    found = predict_samples(model, [make_test_sample(Image.fromarray(photo), mapper)], MaskForm.ENCODED)[0]
    corner = np.array([place.left, place.top] * 2)
    placed = [Found(one.score, one.box + corner, place_mask(one.mask, place, size)) for one in as_found(found)]
    return [one for one in placed if coco_mask.area(one.mask)]


def as_found(found: Predictions) -> list[Found]:
    """Return the objects that were found, one by one."""
    objects = zip(found.scores, found.boxes, found.encoded_masks or (), strict=True)
    return [Found(float(score), box, mask) for score, box, mask in objects]


def corners_of(mask: Json) -> np.ndarray:
    """Return the box (xyxy) around a mask."""
    left, top, width, height = coco_mask.toBbox(mask)
    return np.array([left, top, left + width, top + height])


def is_among(one: Found, others: list[Found], min_score: float) -> bool:
    """Tell whether an object of at least this score has a mask that agrees."""
    near = [
        other.mask
        for other in others
        if other.score >= min_score and (other.box[:2] < one.box[2:]).all() and (other.box[2:] > one.box[:2]).all()
    ]
    return bool(near) and bool((coco_mask.iou(near, [one.mask], [0]) >= MIN_IOU).any())


def sum_of(objects: list[Found], min_score: float) -> int:
    """Return the number of objects with at least this score."""
    return sum(one.score >= min_score for one in objects)


def share(objects: list[Found], others: list[Found], min_score: float) -> str:
    """Return how many objects are among others, and the share."""
    same = sum(is_among(one, others, min_score) for one in objects)
    return f"{same} of {len(objects)} ({same / len(objects):.1%})" if objects else "none"


if __name__ == "__main__":
    main(sys.argv[1:])
