"""A picture of what a detector finds in a few photos of its test set: the state of a training at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from vclr.coco.annotations import Json, rasterize
from vclr.data.samples import TestSamples
from vclr.drawing import SHEET_SIDE, contact_sheet, draw_found, draw_objects, shrink
from vclr.evaluation.inference import predict_samples
from vclr.models.detector import Detector
from vclr.pictures import write_png

NUM_PHOTOS = 4
TOP_PREDICTIONS = 100  # in which objects are looked for
FADE = 0.5
FILE = "examples.png"


def write_examples(detectors: Mapping[str, Detector], samples: TestSamples, folder: Path) -> Path:
    """Write a picture into a folder: a row for each of a few photos, evenly chosen, always the same ones.

    A row shows the photo with its annotated objects, and for each detector the prediction that fits each object best;
    objects that none fits have a red outline.

    Args:
        detectors: by the caption of their column.
        samples: the test set.
        folder: is created.

    Returns:
        The path of the picture.
    """
    places = np.unique(np.linspace(0, len(samples) - 1, NUM_PHOTOS).round().astype(int))
    objects: dict[int, list[Json]] = {samples.images.ids[place]: [] for place in places}
    for one in samples.coco.read_annotations():
        if one["image_id"] in objects and not one.get("iscrowd"):
            objects[one["image_id"]].append(one)
    rows = [
        _draw_row([*detectors.values()], samples, int(place), own)
        for place, own in zip(places, objects.values(), strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_png(path, contact_sheet(rows, ["annotated", *detectors]))
    return path


def _draw_row(detectors: list[Detector], samples: TestSamples, place: int, own: list[Json]) -> list[np.ndarray]:
    sample, photo = samples[place], np.asarray(samples.images.open(place))
    masks = [rasterize(one, *photo.shape[:2]) for one in own]
    shown, objects, _ = shrink(photo, masks, side=SHEET_SIDE)
    row = [draw_objects(shown, objects, fade=FADE)]
    for detector in detectors:
        (found,) = predict_samples(detector, [replace(sample, original_size=shown.shape[:2])])
        row.append(draw_found(shown, objects, list(np.asarray(found.masks[:TOP_PREDICTIONS])), fade=FADE)[0])
    return row
