"""The report's pictures: training images in their views, and what was found in evaluated ones."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from vclr import drawing
from vclr.catalog.views import NATURAL, PHOTO, REFUSE
from vclr.coco import annotations as coco_json
from vclr.coco.annotations import Json
from vclr.coco.predictions import PredictionsFile
from vclr.config import ViewsConfig
from vclr.data.data_sets import training_set
from vclr.evaluation.raw_predictions import draw_raw
from vclr.image_folders.open import open_folder
from vclr.report.experiments import Experiment, target_group
from vclr.views.reader import ViewReader

NUM_SCENES = 4  # training images shown
NUM_EXAMPLES = 6  # evaluated images shown
TOP_PREDICTIONS = 30  # per image, among which the best-fitting are shown
NUM_INSTEAD = 5  # best predictions shown if none of those fits an object
RAW_SCORE = 0.5  # above which every prediction of one image is shown
NUM_UNSURE = 10  # best predictions shown if none is above that
FADE = 0.85  # of the photo behind what was found
ANNOTATED = (255, 255, 255)  # outline of an annotated object
PICTURE_SIDE = 360  # pixels of a picture's long side in the report


# A picture with its caption, and rows of them: the photo, the ground truth, one picture for each experiment.
Pictures = list[tuple[np.ndarray, str]]


def training_scenes(experiments: list[Experiment], coco: Json) -> tuple[list[str], list[list[np.ndarray]]]:
    """Draw some images of the training set of experiments in every view of the one that has the most views.

    Returns:
        The names of the views, and for each image its picture in each view with the annotations drawn.
    """
    experiment = max(experiments, key=lambda candidate: len(candidate.views))
    views = sorted(experiment.views, key=lambda view: view != NATURAL)
    data_set = training_set(experiment.config)
    objects = _objects(coco)
    names = [image["file_name"] for image in coco["images"] if image["id"] in objects]
    drawn = experiment.config.views
    missing = REFUSE if drawn.missing == REFUSE else PHOTO
    settings = ViewsConfig(weights=dict.fromkeys(views, 1.0), seed=drawn.seed, missing=missing)
    reader, photos = ViewReader(data_set, settings, names), open_folder(data_set.images)
    rows = []
    for image in _pick(coco, objects, NUM_SCENES):
        photo = photos.open(image["file_name"])
        size, index = (image["height"], image["width"]), names.index(image["file_name"])
        masks = [coco_json.rasterize(item, *size) for item in objects[image["id"]]]
        shown = [np.asarray(reader.read(view, index, size, photo)) for view in views]
        colors, fill = [ANNOTATED] * len(masks), [False] * len(masks)
        rows.append([_finish(drawing.draw_objects(view, masks, colors=colors, fill=fill)) for view in shown])
    return views, rows


def found_objects(
    experiments: list[Experiment], coco: Json, predictions: list[PredictionsFile]
) -> tuple[list[Pictures], Pictures]:
    """Draw some images of the test set of experiments, and what the first seed of each found in them.

    Args:
        experiments: experiments on one test set.
        coco: the annotations of the test set.
        predictions: the predictions of each experiment.

    Returns:
        A row per image with the objects of the target group and, for each of these, the prediction that fits best; and
        a row for the first of these images with all its objects and all predictions above a score, or the best few if
        none is.
    """
    test_set = experiments[0].test_set
    every_object, names = _objects(coco), experiments[0].classes.get(target_group(experiments))
    if names is not None:
        wanted = coco_json.category_ids(coco, names, test_set.annotations)
        coco = coco_json.select(coco, lambda annotation: annotation["category_id"] in wanted)
    objects = _objects(coco)
    images = _pick(coco, objects, NUM_EXAMPLES)
    found = [
        {image["id"]: _sorted(msgspec.to_builtins(file.of_image(image["id"]))) for image in images}
        for file in predictions
    ]
    photos = open_folder(test_set.images)

    def draw(draw_row: Callable[..., Pictures], image: Json, objects: dict[Any, list[Json]]) -> Pictures:
        photo, image_id = np.asarray(photos.open(image["file_name"])), image["id"]
        return draw_row(photo, image, objects[image_id], [by_image[image_id] for by_image in found])

    rows = [draw(_best_row, image, objects) for image in images]
    return rows, draw(_raw_row, images[0], every_object) if images else []


def _sorted(found: list[Json]) -> list[Json]:
    return sorted(found, key=lambda one: -one["score"])


def _best_row(photo: np.ndarray, image: Json, objects: list[Json], found: list[list[Json]]) -> Pictures:
    """Show for each object the best-fitting prediction."""
    masks, row = _photo_and_objects(photo, image, objects, "in all")
    for entries in found:
        best = entries[:TOP_PREDICTIONS]
        candidates = _masks(best, image)
        picture, count = drawing.draw_found(photo, masks, candidates, fade=FADE)
        caption = f"{count} of {len(masks)}"
        if count == 0 and best:  # what it predicts instead, mask and box
            boxes = [coco_json.bbox_corners(entry["bbox"]) for entry in best[:NUM_INSTEAD]]
            picture = drawing.draw_objects(photo, candidates[:NUM_INSTEAD], boxes, fade=FADE)
            caption += f"; its {len(boxes)} best predictions" if len(boxes) > 1 else "; its best prediction"
        row.append((_finish(picture), caption))
    return row


def _raw_row(photo: np.ndarray, image: Json, objects: list[Json], found: list[list[Json]]) -> Pictures:
    """Show every prediction above a score, whether it fits an object or not."""
    masks, row = _photo_and_objects(photo, image, objects, "annotated")
    for entries in found:
        above = [entry for entry in entries if entry["score"] > RAW_SCORE]
        # A detector that is sure of nothing would look as if it made no mistakes.
        shown = _masks(above or entries[:NUM_UNSURE], image)
        picture, unmatched = draw_raw(photo, masks, shown, fade=FADE)
        if above:
            caption = f"{len(shown)} predicted, {unmatched} fit none"
        elif shown:
            caption = f"none above {RAW_SCORE}; of its {len(shown)} best {unmatched} fit none"
        else:
            caption = "none at all"
        row.append((_finish(picture), caption))
    return row


def _photo_and_objects(
    photo: np.ndarray, image: Json, objects: list[Json], called: str
) -> tuple[list[np.ndarray], Pictures]:
    """Return the masks of the annotated objects, and the pictures that begin a row: the photo, and its objects."""
    masks = _masks(objects, image)
    there = drawing.draw_objects(photo, masks, fade=FADE)
    return masks, [(_finish(drawing.draw_objects(photo, [])), ""), (_finish(there), f"{len(masks)} {called}")]


def _masks(entries: list[Json], image: Json) -> list[np.ndarray]:
    return [coco_json.rasterize(entry, image["height"], image["width"]) for entry in entries]


def _objects(coco: Json) -> dict[Any, list[Json]]:
    """Return the annotations that are not crowds, by image, large ones first so that small ones are drawn on top."""
    objects: dict[Any, list[Json]] = {}
    for annotation in sorted(coco["annotations"], key=lambda item: -item["bbox"][2] * item["bbox"][3]):
        if not annotation.get("iscrowd", 0):
            objects.setdefault(annotation["image_id"], []).append(annotation)
    return objects


def _pick(coco: Json, objects: dict[Any, list[Json]], count: int) -> list[Json]:
    """Take evenly spaced images, not chosen by result: if possible, of those with several objects."""
    several = [image for image in coco["images"] if len(objects.get(image["id"], [])) > 1]
    images = several if len(several) >= count else [image for image in coco["images"] if image["id"] in objects]
    positions = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [images[position] for position in positions]


def _finish(picture: np.ndarray) -> np.ndarray:
    """Shrink a large picture to the size at which the report shows it."""
    return drawing.fit(picture, PICTURE_SIDE) if max(picture.shape) > PICTURE_SIDE else picture


def data_uri(picture: np.ndarray, quality: int = 88) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
