"""Rank proposals by whether they look like the known objects; see `vclr.object_proposals.objectness`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vclr.coco.annotations import Json
from vclr.coco.predictions import PredictionsFile
from vclr.errors import UserError
from vclr.file_names import file_key
from vclr.files import sha256
from vclr.image_folders.open import open_folder
from vclr.image_folders.walk import Photos, Result, hash_module, walk_photos
from vclr.object_proposals import objectness
from vclr.object_proposals.merge import Ranks
from vclr.object_proposals.objectness import Objectness, fit_objectness, measure_features
from vclr.object_proposals.proposals_file import write_proposals_file
from vclr.object_proposals.shapes import overlap, shapes_of, shapes_of_annotations
from vclr.object_proposals.sources import SIZE, KnownObjects, as_entry, info_of, list_images, open_source

IS_OBJECT, IS_NONE = 0.5, 0.2  # IoU with a known object from which on a proposal is one, and below which it is none
MAX_TRAINED = 200_000  # proposals that the model is trained on; of more, every second, third ...


def rank_proposals(path: Path, images: Path, annotations: Path, output: Path, top_k: int, quiet: bool = False) -> str:
    """Write the proposals of a file with new scores.

    The model is trained on the proposals for the photos that `annotations` lists, and scores those for all photos.

    Args:
        path: COCO json of proposals.
        images: folder of the photos, or its zip.
        annotations: COCO json of known objects, for all of the photos or some.
        output: the json to write; it appears whole or not at all.
        top_k: the most proposals per photo.
        quiet: show no progress.

    Returns:
        What the model was trained on, in words.

    Raises:
        UserError: a file or all photos cannot be used, or no proposal finds a known object, or all do.
    """
    listed, known = list_images([path]), KnownObjects(annotations)
    known_ids = {file_key(image["file_name"]): image["id"] for image in known.images}
    photos = Photos(open_folder(images))
    settings = {
        "proposals": sha256(path),
        "annotations": sha256(annotations),
        "code": hash_module(sys.modules[__name__]),
    }
    with open_source(path, listed, path) as source, walk_photos(output, settings, listed, photos) as walk:
        ranks = Ranks(source, len(listed))

        def read(image: Json) -> np.ndarray:
            pixels = photos.open(image["file_name"])
            if pixels.shape[:2] != tuple(image[side] for side in SIZE):
                size, said = (f"{w}x{h}" for h, w in (pixels.shape[:2], [image[side] for side in SIZE]))
                raise UserError(f"{photos.folder.path_of(image['file_name'])}: is {size}, {path} says {said}")
            return pixels

        def measure(chosen: list[Json], inputs: list[np.ndarray]) -> list[Result]:
            results: list[Result] = []
            for image, pixels in zip(chosen, inputs, strict=True):
                known_id = known_ids.get(file_key(image["file_name"]))
                objects = None if known_id is None else known.of_image(known_id)
                results.append((measure_proposals(image, pixels, source, ranks, objects), []))
            return results

        walk.finish(read, measure, "what proposals look like", quiet)
        model, says = train_model(entry["result"] for entry in walk.entries())
        failed = {image["file_name"]: says for image, says in walk.failed}
        info = {"method": "rank", "top_k": top_k, "known": annotations.name, "weights": model.as_json()}
        info |= {"from": info_of(source)} | ({"failed": failed} if failed else {})
        kept = [image for image in listed if image["file_name"] not in failed]

        def ranked() -> Iterator[Json]:
            for image, entry in zip(kept, walk.entries(), strict=True):
                yield from _rank(image, source, entry["result"]["features"], model, top_k)

        write_proposals_file(output, {"info": info, "images": kept}, ranked())
    return f"{output}: {says}"


def measure_proposals(
    image: Json, pixels: np.ndarray, source: PredictionsFile, ranks: Ranks, objects: list[Json] | None
) -> Json:
    """Return the features of an image's proposals, and if its known objects are annotated, how much each overlaps one.

    Crowds tell nothing of what lies in them.
    """
    size = image["height"], image["width"]
    found = source.of_image(image["id"])
    weights = ranks.weigh(np.array([one.score for one in found], dtype=np.float64))
    features = measure_features(pixels, [as_entry(one, size, one.score) for one in found], weights)
    result: Json = {"features": features.round(5).tolist()}
    if objects is not None:
        ious = overlap(shapes_of(found, size), shapes_of_annotations(objects, size))
        is_crowd = np.array([bool(one.get("iscrowd", 0)) for one in objects], dtype=bool)
        result["overlaps"] = ious[:, ~is_crowd].max(axis=1, initial=0).round(5).tolist()
        result["overlaps_any"] = ious.max(axis=1, initial=0).round(5).tolist()
    return result


def train_model(results: Iterable[Json]) -> tuple[Objectness, str]:
    """Train the model on what `measure_proposals` returned for several images, and say on what.

    Raises:
        UserError: no proposal finds a known object, or all do.
    """
    features, is_object = [np.empty((0, len(objectness.FEATURES)))], [np.empty(0, dtype=bool)]
    for result in results:
        if result["features"] and "overlaps" in result:
            overlaps, overlaps_any = np.array(result["overlaps"]), np.array(result["overlaps_any"])
            is_clear = (overlaps >= IS_OBJECT) | (overlaps_any < IS_NONE)
            features.append(np.array(result["features"])[is_clear])
            is_object.append(overlaps[is_clear] >= IS_OBJECT)
    inputs, labels = np.concatenate(features), np.concatenate(is_object)
    step = max(1, -(-len(labels) // MAX_TRAINED))
    inputs, labels = inputs[::step], labels[::step]
    num_objects = int(labels.sum())
    if not num_objects or num_objects == len(labels):
        which = "every proposal" if num_objects else "no proposal"
        raise UserError(f"{which} for the annotated photos finds a known object, so there is nothing to learn from")
    return fit_objectness(
        inputs, labels
    ), f"trained on {num_objects} known objects and {len(labels) - num_objects} others"


def _rank(
    image: Json, source: PredictionsFile, features: list[list[float]], model: Objectness, top_k: int
) -> Iterator[Json]:
    found, size = source.of_image(image["id"]), (image["height"], image["width"])
    if found:
        scores = model.score(np.array(features)).round(6)
        for number in np.argsort(-scores, kind="stable")[:top_k].tolist():
            yield as_entry(found[number], size, float(scores[number]))
