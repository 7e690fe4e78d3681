"""What the failure browser shows: small photos, and the outlines that the page draws over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from skimage.measure import approximate_polygon, find_contours

from vclr import drawing
from vclr.catalog.metrics import AP_DETECTIONS, SIZES
from vclr.coco.annotations import Json, box_polygon, outlines, to_mask
from vclr.coco.prediction import Prediction
from vclr.coco.predictions import PredictionsFile
from vclr.evaluation.detections import best_first
from vclr.evaluation.matching import match
from vclr.evaluation.tally import THRESHOLDS
from vclr.image_folders.folder import ImageFolder
from vclr.report.annotated import Annotated, find_sizes
from vclr.report.failures import Failure
from vclr.report.gallery import data_uri
from vclr.report.outcomes import FITS

PHOTO_SIDE = 400  # pixels of a photo's long side
QUALITY = 78  # of its JPEG
NUM_BEST = 6  # best predictions per image and experiment that are outlined, besides those that a failure is about
TOLERANCE = 0.7  # pixels by which an outline may leave its mask


def browser_data(
    failures: list[Failure],
    annotated: Annotated,
    files: Mapping[str, PredictionsFile],
    photos: ImageFolder,
    kinds: Mapping[str, str],
) -> Json:
    """Return what the page needs: photos with outlines, and one entry for each failure.

    Args:
        failures: what to show.
        annotated: the test set.
        files: the predictions of each experiment.
        photos: the photos of the test set.
        kinds: whether boxes or masks were compared for each experiment, one of `KINDS`. These are outlined.

    Returns:
        `runs`: the names of the experiments; `photos`: for each image its picture, size and file name, the outlines
        `truth`, and the outlines of each run in `runs`; `entries`: for each failure its kind, photo, group, size,
        class and run, and either the position `truth` of its object's outline, with the rank of the prediction of each
        run that found it or else is `nearest` to it, whether it `found` it, and their `overlaps`, or the `rank` and
        `score` of its prediction.
    """
    names, shown = annotated.class_names(), defaultdict(list)
    for failure in failures:
        shown[failure.image_id].append(failure)
    images = {image["id"]: image for image in annotated.coco["images"] if image["id"] in shown}
    data: Json = {"runs": list(files), "photos": [], "entries": []}
    entries = {}
    for image_id, image in images.items():
        found = [best_first(file.of_image(image_id), AP_DETECTIONS) for file in files.values()]
        picture = _Picture(image, annotated, names, found, list(kinds.values()))
        data["photos"].append(picture.draw(photos, shown[image_id], list(files)))
        for failure in shown[image_id]:
            entries[failure] = {"photo": len(data["photos"]) - 1, **picture.describe(failure, list(files))}
    data["entries"] = [entries[failure] for failure in failures]
    return data


class _Picture:
    """An image of the browser with its annotations and the predictions of each experiment."""

    def __init__(
        self, image: Json, annotated: Annotated, names: list[str], found: list[list[Prediction]], kinds: list[str]
    ) -> None:
        self._image, self._annotated, self._kinds = image, annotated, kinds
        self._found: list[list[Json]] = msgspec.to_builtins(found)
        self._positions = annotated.in_image[image["id"]].tolist()
        self._objects = [annotated.annotations[position] for position in self._positions]
        self._names = [names[position] for position in self._positions]
        self._ious = [annotated.overlaps(image["id"], *one) for one in zip(found, kinds, strict=True)]
        self._scale = min(1.0, PHOTO_SIDE / max(image["height"], image["width"]))

    def draw(self, photos: ImageFolder, failures: list[Failure], runs: list[str]) -> Json:
        photo = np.asarray(photos.open(self._image["file_name"]))
        if self._scale < 1:
            photo = drawing.fit(photo, PHOTO_SIDE)
        kind = "mask" if "mask" in self._kinds else "box"
        truth = [
            {"path": self._outline(one, kind), "label": name}
            for one, name in zip(self._objects, self._names, strict=True)
        ]
        wanted = [self._shown(failures, number, name) for number, name in enumerate(runs)]
        return {
            "source": data_uri(photo, QUALITY),
            "width": photo.shape[1],
            "height": photo.shape[0],
            "name": self._image["file_name"],
            "truth": truth,
            "runs": [[self._prediction(number, rank) for rank in ranks] for number, ranks in enumerate(wanted)],
        }

    def describe(self, failure: Failure, runs: list[str]) -> Json:
        entry: Json = {"kind": failure.kind, "group": failure.group, "run": failure.experiment}
        if failure.position is None:
            found = self._found[runs.index(failure.experiment)][failure.rank or 0]
            size = _name_size(found["bbox"][2] * found["bbox"][3])
            return entry | {"size": size, "class": "", "rank": failure.rank, "score": _short(found["score"])}
        truth = self._positions.index(failure.position)
        nearest, is_found = zip(*(self._nearest(ious, failure) for ious in self._ious), strict=True)
        pairs = zip(self._ious, nearest, strict=True)
        highest = [0.0 if rank is None else _short(ious[rank, truth]) for ious, rank in pairs]
        entry |= {"truth": truth, "nearest": nearest, "found": is_found, "overlaps": highest}
        size = _name_size(self._annotated.areas[failure.position])
        return entry | {"size": size, "class": self._names[truth]}

    def _shown(self, failures: list[Failure], number: int, run: str) -> list[int]:
        """Return the ranks of the predictions of a run that are outlined."""
        ranks = set(range(min(NUM_BEST, len(self._found[number]))))
        for failure in failures:
            if failure.position is None:
                ranks |= {failure.rank or 0} if failure.experiment == run else set()
            else:
                nearest, _ = self._nearest(self._ious[number], failure)
                ranks |= set() if nearest is None else {nearest}
        return sorted(ranks)

    def _nearest(self, ious: np.ndarray, failure: Failure) -> tuple[int | None, bool]:
        """Return the rank of the prediction that found an object, or else overlaps it most, and whether it found it.

        The rank is None if no prediction touches the object.
        """
        truth = self._positions.index(failure.position)
        objects = np.flatnonzero(self._annotated.objects_of(failure.group)[self._positions])
        none = np.zeros(len(objects), bool)
        finders = match(ious[:, objects], none, none[None], THRESHOLDS[:1]).finders(len(objects))
        finder = int(finders[0, 0, np.searchsorted(objects, truth)])
        if finder >= 0:
            return finder, True
        return (int(ious[:, truth].argmax()) if ious[:, truth].any() else None), False

    def _prediction(self, number: int, rank: int) -> Json:
        found, ious = self._found[number][rank], self._ious[number][rank]
        fits = int(ious.argmax()) if ious.max(initial=0) >= FITS else -1
        return {
            "path": self._outline(found, self._kinds[number]),
            "score": _short(found["score"]),
            "rank": rank,
            "fits": fits,
        }

    def _outline(self, entry: Json, kind: str) -> str:
        """Return the outline of an annotation or a prediction on the photo as an SVG path in whole pixels."""
        is_box = kind == "box" or not entry.get("segmentation")
        rings = [np.array(box_polygon(entry["bbox"]), float).reshape(-1, 2)] if is_box else self._rings(entry)
        return "".join(_path(ring * self._scale) for ring in rings)

    def _rings(self, entry: Json) -> list[np.ndarray]:
        polygons = outlines(entry)
        if polygons is not None:
            rings = [np.array(polygon, float).reshape(-1, 2) for polygon in polygons]
        else:
            rings = _contours(to_mask(entry["segmentation"], self._image["height"], self._image["width"]))
        return [approximate_polygon(ring, TOLERANCE / self._scale) for ring in rings]


def _name_size(area: float) -> str:
    return SIZES[int(find_sizes(np.array(area)))]


def _contours(mask: np.ndarray) -> list[np.ndarray]:
    """Return the outlines of a mask, each (n, 2) as x, y."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return []
    top, left = rows[0], columns[0]
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.float32)
    return [contour[:, ::-1] + (left - 0.5, top - 0.5) for contour in find_contours(part, 0.5)]


def _path(ring: np.ndarray) -> str:
    points = [f"{x} {y}" for x, y in ring.round().astype(int).tolist()]
    return f"M{'L'.join(points)}Z"


def _short(value: Any) -> float:
    return round(float(value), 2)
