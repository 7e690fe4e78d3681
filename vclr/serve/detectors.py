"""The detectors that the page compares, and what they find in a photo, in a form for the page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vclr.coco.annotations import Json, to_mask
from vclr.config import Config
from vclr.data.samples import make_test_sample
from vclr.device import autocast
from vclr.evaluation.inference import predict, predict_samples, to_coco_results
from vclr.evaluation.shown_objects import SIDE, choose_shown
from vclr.models.detector import Detector
from vclr.models.ready import open_detector
from vclr.structures import MaskForm, Predictions

MAX_OBJECTS = 300  # per photo and detector, best first
# Pixels of a mask's longer side. A detector that sees 1333 pixels at most knows masks at a quarter of that: painting
# them at the size of a photo of 12 million pixels would take four times as long, and show nothing more.
MASK_SIDE = 2048
WARM_UP = (64, 64, 3)  # a photo of nothing


class NamedDetector(NamedTuple):
    """A detector, what the page calls it, and how it wants photos to be resized."""

    name: str
    model: Detector
    config: Config


def open_detectors(
    checkpoints: Sequence[Path], device: str, config_file: Path | None, weights: str
) -> list[NamedDetector]:
    """Open checkpoints as `open_detector` does, and use each once: the first visitor should not wait for longer."""
    detectors = []
    for name, checkpoint in zip(name_checkpoints(checkpoints), checkpoints, strict=True):
        model, config = open_detector(checkpoint, device, config_file, weights)
        most = min(MAX_OBJECTS, model.config.select_box_nums_for_evaluation)
        model.config = dataclasses.replace(model.config, select_box_nums_for_evaluation=most)
        predict(model, np.zeros(WARM_UP, np.uint8), short_edge=None)
        detectors.append(NamedDetector(name, model, config))
    return detectors


def name_checkpoints(checkpoints: Sequence[Path]) -> list[str]:
    """Name checkpoints by the fewest last parts of their paths that tell them apart: visitors need not know the rest.

    `runs/demo/seed0/checkpoints/last.pt` is demo/seed0.
    """
    parts = [_telling_parts(path) for path in checkpoints]
    for length in range(2, max(map(len, parts), default=0) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return ["/".join(one[-2:]) + f" ({number})" for number, one in enumerate(parts, 1)]


def _telling_parts(path: Path) -> list[str]:
    parts = list(path.parts)
    if path.suffix:
        parts[-1] = path.stem
    if parts[-1] == "last":  # the default checkpoint of a run folder
        del parts[-1]
    return [part for part in parts if part not in ("checkpoints", "/", "..")] or [path.stem]


def find_objects(detectors: Sequence[NamedDetector], photo: Image.Image) -> Json:
    """Find the objects in a photo with each detector.

    Args:
        detectors: at least one.
        photo: RGB, upright.

    Returns:
        `width`, `height`, and `detectors`: for each its `name` and its `objects`, best first. An object is an entry of
        the json of `vclr predict`, without the file's name, and with `is_repeat`: whether a better object shows the
        same. The mask of a photo that is longer than MASK_SIDE is reduced to that, as its `size` says.
    """
    found = [{"name": one.name, "objects": _objects(one, photo)} for one in detectors]
    return {"width": photo.width, "height": photo.height, "detectors": found}


def _objects(detector: NamedDetector, photo: Image.Image) -> list[Json]:
    sample = make_test_sample(photo, detector.config.dataloader.test.mapper)
    factor = min(1.0, MASK_SIDE / max(photo.size))
    height, width = (max(1, round(side * factor)) for side in sample.original_size)
    sample.original_size = height, width
    with autocast(detector.config.evaluation.dtype, detector.model.pixel_mean.device):
        (found,) = predict_samples(detector.model, [sample], MaskForm.ENCODED)
    found.boxes *= np.array([photo.width / width, photo.height / height] * 2, found.boxes.dtype)
    results = to_coco_results(found, 0)
    first = set(choose_shown(_reduced(found), -math.inf, len(found)))
    for number, result in enumerate(results):
        del result["image_id"]
        result["is_repeat"] = number not in first
    return results


def _reduced(found: Predictions) -> Predictions:
    """Return predictions whose masks have the size at which `choose_shown` compares them."""
    encoded: list[dict[str, Any]] = found.encoded_masks or []
    if not encoded:
        return found
    height, width = encoded[0]["size"]
    step = max(1, max(height, width) // SIDE)
    masks = np.stack([to_mask(mask, height, width)[::step, ::step] > 0 for mask in encoded])
    return dataclasses.replace(found, masks=masks)
