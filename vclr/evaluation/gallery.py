"""The report's pictures: training images in their views, and what was found in evaluated ones."""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vclr.coco import annotations as coco_json
from vclr.coco.annotations import Json
from vclr.config import ViewsConfig
from vclr.data.catalog import missing_files, test_set, training_set
from vclr.data.views import ViewReader
from vclr.errors import UserError
from vclr.evaluation import pictures
from vclr.evaluation.experiments import Experiment, seed_folder, target_group
from vclr.files import read_json
from vclr.image_folder import open_folder

log = logging.getLogger("vclr.evaluation")

NUM_SCENES = 4  # training images shown
NUM_EXAMPLES = 6  # evaluated images shown
TOP_PREDICTIONS = 30  # of an image, among which the best-fitting are shown
NUM_INSTEAD = 5  # best predictions shown where none of those fits an object
FADE = 0.85  # of the photo behind what was found
ANNOTATED = (255, 255, 255)  # outline of an annotated object
PICTURE_SIDE = 360  # pixels of a picture's long side in the report


def training_scenes(experiments: list[Experiment]) -> tuple[list[str], list[list[np.ndarray]]]:
    """Draw some training images in every view of the experiment that has most.

    Returns:
        The names of the views, and for each image its picture in each view with the annotations drawn.
    """
    experiment = max(experiments, key=lambda candidate: len(candidate.views))
    views = sorted(experiment.views, key=lambda view: view != "natural")
    data_set = training_set(experiment.config)
    coco = coco_json.load_coco(data_set.annotations)
    objects = _objects(coco)
    names = [image["file_name"] for image in coco["images"] if image["id"] in objects]
    settings = ViewsConfig(weights=dict.fromkeys(views, 1.0), seed=experiment.config.views.seed)
    reader, photos = ViewReader(data_set, settings, names), open_folder(data_set.images)
    rows = []
    for image in _pick(coco, objects, NUM_SCENES):
        photo = photos.open(image["file_name"])
        size, index = (image["height"], image["width"]), names.index(image["file_name"])
        masks = [coco_json.rasterize(item, *size) for item in objects[image["id"]]]
        shown = [np.asarray(reader.read(view, index, size, photo)) for view in views]
        colors, fill = [ANNOTATED] * len(masks), [False] * len(masks)
        rows.append([_finish(pictures.draw_objects(view, masks, colors=colors, fill=fill)) for view in shown])
    return views, rows


def found_objects(experiments: list[Experiment], results: Path) -> list[list[tuple[np.ndarray, str]]]:
    """Draw some evaluated images: the objects of the target group, and what the first seed of each experiment found.

    Returns:
        For each image the photo, the ground truth and one picture for each experiment, each with its caption.
    """
    config = experiments[0].config
    data_set = test_set(config)
    if problem := missing_files(data_set, "test"):  # of a run whose test set was named to `vclr evaluate` alone
        log.warning("the report shows no predictions: %s", problem)
        return []
    coco = coco_json.load_coco(data_set.annotations)
    names = config.evaluation.groups.get(target_group(experiments))
    if names is not None:
        wanted = coco_json.category_ids(coco, names, data_set.annotations)
        coco = coco_json.select(coco, lambda annotation: annotation["category_id"] in wanted)
    objects = _objects(coco)
    predictions = [_read_predictions(results, experiment) for experiment in experiments]
    photos = open_folder(data_set.images)
    rows = []
    for image in _pick(coco, objects, NUM_EXAMPLES):
        photo = np.asarray(photos.open(image["file_name"]))
        size = image["height"], image["width"]
        masks = [coco_json.rasterize(item, *size) for item in objects[image["id"]]]
        there = pictures.draw_objects(photo, masks, fade=FADE)
        row = [(_finish(pictures.draw_objects(photo, [])), ""), (_finish(there), f"{len(masks)} in all")]
        for found in predictions:
            best = sorted(found.get(image["id"], []), key=lambda entry: -entry["score"])[:TOP_PREDICTIONS]
            candidates = [coco_json.rasterize(entry, *size) for entry in best]
            picture, count = pictures.draw_found(photo, masks, candidates, fade=FADE)
            caption = f"{count} of {len(masks)}"
            if count == 0 and best:  # what it predicts instead, mask and box
                boxes = [coco_json.bbox_corners(entry["bbox"]) for entry in best[:NUM_INSTEAD]]
                picture = pictures.draw_objects(photo, candidates[:NUM_INSTEAD], boxes, fade=FADE)
                caption += f"; its {len(boxes)} best predictions"
            row.append((_finish(picture), caption))
        rows.append(row)
    return rows


def _objects(coco: Json) -> dict[Any, list[Json]]:
    """Return the annotations that are no crowds, by image, large ones first so that small ones are drawn on top."""
    objects: dict[Any, list[Json]] = {}
    for annotation in sorted(coco["annotations"], key=lambda item: -item["bbox"][2] * item["bbox"][3]):
        if not annotation.get("iscrowd", 0):
            objects.setdefault(annotation["image_id"], []).append(annotation)
    return objects


def _pick(coco: Json, objects: dict[Any, list[Json]], count: int) -> list[Json]:
    """Take images at even distances, of those with several objects if they suffice: not chosen by result."""
    several = [image for image in coco["images"] if len(objects.get(image["id"], [])) > 1]
    images = several if len(several) >= count else [image for image in coco["images"] if image["id"] in objects]
    positions = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [images[position] for position in positions]


def _read_predictions(results: Path, experiment: Experiment) -> dict[Any, list[Json]]:
    path = seed_folder(results / experiment.name, experiment.seeds[0]) / "predictions.json"
    entries = read_json(path)
    by_image: dict[Any, list[Json]] = {}
    for position, entry in enumerate(entries if isinstance(entries, list) else [None]):
        if not isinstance(entry, dict) or not {"image_id", "score", "bbox"} <= entry.keys():
            raise UserError(f"{path}: [{position}]: is not a COCO result with `image_id`, `score` and `bbox`")
        by_image.setdefault(entry["image_id"], []).append(entry)
    return by_image


def _finish(picture: np.ndarray) -> np.ndarray:
    """Shrink a large picture to the size at which the report shows it."""
    return pictures.fit(picture, PICTURE_SIDE) if max(picture.shape) > PICTURE_SIDE else picture


def data_uri(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
