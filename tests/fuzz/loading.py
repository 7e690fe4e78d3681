"""What a training reads before its first step, and whether it read what the files say."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from tests.fuzz.sound import HEIGHT, WIDTH
from vclr.config import Config, DataSetConfig, load_config

MIN_PIXELS = 30  # of a mask, to be compared by overlap


@cache
def _read_settings(text: str) -> Config:
    """Read a configuration; of all cases that have the same text, the first one reads it."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return load_config(Path(file.name), [])


def load_training(
    folder: Path, annotations: Path, images: Path | None = None, proposals: Path | str = "", **views: Path
) -> Callable[[], Any]:
    """Return what reads all samples of a training set as `vclr train` does, and the first batch."""

    def load() -> Any:
        from vclr.data.loader import TrainingLoader, read_batches
        from vclr.data.samples import TrainingSamples
        from vclr.engine.train import hash_training_data

        config = copy.deepcopy(_read_settings((folder / "tiny.yaml").read_text(encoding="utf-8")))
        config.data.train = DataSetConfig(
            annotations=str(annotations),
            images=str(images or folder / "images"),
            views={view: str(path) for view, path in views.items()},
            proposals=str(proposals),
        )
        hash_training_data(config)
        samples = TrainingSamples(config)
        next(read_batches(TrainingLoader(config, samples)))
        drawn = [samples[0, index] for index in range(len(samples))]
        return [(samples.images.ids[index], sample) for index, sample in enumerate(drawn)]

    return load


def check_samples(loaded: Any, annotations: Path | None = None) -> None:
    """Check that boxes and masks are possible, and where the json is given, that they are those in it."""
    for image_id, sample in loaded:
        target = sample.target
        boxes, masks = target.boxes.numpy(), target.masks.numpy()
        assert np.isfinite(boxes).all()
        assert (boxes >= 0).all() and (boxes <= 1 + 1e-6).all()
        assert (boxes[:, 2:] > 0).all()
        assert set(np.unique(masks)) <= {0, 1}
        assert masks.shape == (len(boxes), HEIGHT, WIDTH) or masks.shape[1:] == tuple(sample.image.shape[1:])
        if annotations is not None:
            content = json.loads(annotations.read_bytes())  # in any encoding of Unicode
            listed = [entry for entry in list_usable(content["annotations"]) if entry.get("image_id") == image_id]
            _check_against(listed, boxes, masks)


def check_picture(shown: np.ndarray, truth: np.ndarray) -> None:
    """Check that a picture shows what it was made of: brighter where that is brighter, and nowhere cut off.

    Args:
        shown: (h, w, 3) uint8, maybe mirrored.
        truth: (h, w), or with bands (h, w, 3), values of any unit.
    """
    assert shown.shape[:2] == truth.shape[:2], f"is {shown.shape}, its file {truth.shape}"
    gray, wanted = (bands.astype(np.float64).reshape(*bands.shape[:2], -1).mean(-1) for bands in (shown, truth))
    assert gray.std() > 1, "is of one color"
    likeness = max(np.corrcoef(gray.ravel(), side.ravel())[0, 1] for side in (wanted, wanted[:, ::-1]))
    assert likeness > 0.97, f"shows another picture: correlation {likeness:.2f}"


def check_photos(loaded: Any, photos: dict[int, np.ndarray]) -> None:
    """Check that the samples show the photos that are known by the ids of their images."""
    for image_id, sample in loaded:
        if image_id in photos:
            check_picture(sample.teacher_image.numpy().transpose(1, 2, 0), photos[image_id])


def list_usable(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the annotations that are left of sound ones by the rules of detectron2 (polygons) and DETR (boxes)."""
    left = []
    for entry in entries:
        shape, (x, y, width, height) = entry.get("segmentation"), entry["bbox"]
        if isinstance(shape, list) and shape:
            entry = {**entry, "segmentation": [part for part in shape if len(part) % 2 == 0 and len(part) >= 6]}
        has_shape = bool(entry.get("segmentation")) or not shape
        if has_shape and x + width > x and y + height > y:
            left.append(entry)
    return left


def _check_against(listed: list[dict[str, Any]], boxes: np.ndarray, masks: np.ndarray) -> None:
    """Compare an image's samples with an independent reading of its annotations, in order."""
    expected = [(_corners(entry["bbox"]), _mask(entry)) for entry in listed if not entry.get("iscrowd")]
    expected = [(box, mask) for box, mask in expected if box[2] - box[0] > 1e-5 and box[3] - box[1] > 1e-5]
    assert len(boxes) <= len(expected), f"{len(boxes)} objects of {len(expected)}"
    if len(boxes) < len(expected):  # what has no pixel may be left out
        expected = [(box, mask) for box, mask in expected if mask.any()]
    assert len(boxes) == len(expected), f"{len(boxes)} objects, {len(expected)} expected"
    if not expected:
        return
    sides = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], dtype=np.float64)
    wanted = np.array([box for box, _ in expected]) / sides
    found = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    is_flipped = not np.allclose(found, wanted, atol=1e-4)
    if is_flipped:
        wanted = np.stack([1 - wanted[:, 2], wanted[:, 1], 1 - wanted[:, 0], wanted[:, 3]], axis=1)
        assert np.allclose(found, wanted, atol=1e-4), f"{found} for {wanted}"
    for mask, (_, truth) in zip(masks, expected, strict=True):
        truth = truth[:, ::-1] if is_flipped else truth
        if truth.sum() >= MIN_PIXELS:
            overlap = (mask & truth).sum() / (mask | truth).sum()
            # Mirrored before it is drawn, a polygon may gain or lose the pixels of its edge.
            assert overlap > 0.75, f"a mask overlaps with that of the file by {overlap:.2f}"


def _corners(box: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    left, right = (min(max(value, 0.0), float(WIDTH)) for value in (x, x + width))
    top, bottom = (min(max(value, 0.0), float(HEIGHT)) for value in (y, y + height))
    assert all(map(math.isfinite, (left, top, right, bottom)))
    return left, top, right, bottom


def _mask(entry: dict[str, Any]) -> np.ndarray:
    shape = entry.get("segmentation")
    if not shape:
        left, top, width, height = entry["bbox"]
        right, bottom = left + width, top + height
        shape = [[left, top, right, top, right, bottom, left, bottom]]
    if isinstance(shape, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(shape, HEIGHT, WIDTH))
    elif isinstance(shape["counts"], list):
        rle = coco_mask.frPyObjects(shape, HEIGHT, WIDTH)
    else:
        rle = {"size": shape["size"], "counts": shape["counts"].encode()}
    mask: np.ndarray = coco_mask.decode(rle)
    return mask
