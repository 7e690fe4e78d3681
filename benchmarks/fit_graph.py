"""Fit the weights of the cues that rank the proposals of the method `graph`, and say how well they carry over.

Reads photos with annotations (default: tiny_coco of `$VCLR_SHARED`). The weights are fitted on one half of the photos
and rank the other half, both ways and for two ways to halve them; recall is that of masks at an IoU of 0.5, crowds
left out. The last lines are the recall of the weights in the code, and the weights fitted on all photos: the text of
`WEIGHTS` and `CONSTANT` in `vclr/object_proposals/graph_cues.py`. Takes a few minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from vclr.coco.annotations import load_coco, to_mask
from vclr.evaluation.matching import match
from vclr.image_folders.open import open_folder
from vclr.object_proposals.graph import enlarge, find_candidates, suppress
from vclr.object_proposals.graph_cues import CONSTANT, WEIGHTS
from vclr.object_proposals.graph_pieces import cut_into_pieces

COUNTS = (10, 30, 100)  # proposals per photo
PENALTY = 33.0  # of the squared weights of standardized cues
MOST = 4.0  # standard deviations at which a cue is cut off while weights are fitted


@dataclass
class Photo:
    """What the fit needs of a photo.

    Attributes:
        candidates: (c, r) bool.
        areas: (r,) pixels of the pieces.
        cues: (c, q) float64.
        ious: (c, n) with the objects.
    """

    candidates: np.ndarray
    areas: np.ndarray
    cues: np.ndarray
    ious: np.ndarray


def main(arguments: list[str]) -> None:
    """Print the recall of each half with the weights of the other, and the weights for all photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("VCLR_SHARED", "")) / "data" / "tiny_coco"
    parser.add_argument("--annotations", type=Path, default=default / "annotations.json")
    parser.add_argument("--images", type=Path, default=default / "images")
    options = parser.parse_args(arguments)
    photos = read_photos(options.annotations, options.images)
    numbers = np.arange(len(photos))
    for title, is_first in (
        ("even and odd photos", numbers % 2 == 0),
        ("first and second half", numbers < len(photos) / 2),
    ):
        fitted = {half: fit([photos[number] for number in numbers[is_first != half]])[0] for half in (True, False)}
        for half, name in ((True, "first"), (False, "second")):
            measured = [photos[number] for number in numbers[is_first == half]]
            says = say_recall(measured, [fitted[half]] * len(measured))
            print(f"{title}: {name} half with the weights of the other: {says}")
        print(f"{title}: both together: {say_recall(photos, [fitted[bool(one)] for one in is_first])}", flush=True)
    print(f"with the weights in the code: {say_recall(photos, [np.array(list(WEIGHTS.values()))] * len(photos))}")
    weights, constant = fit(photos)
    print(f"all photos: CONSTANT = {constant:.1f} (in the code: {CONSTANT})")
    for name, weight, used in zip(WEIGHTS, weights, WEIGHTS.values(), strict=True):
        print(f'    "{name}": {weight:.2g},  # in the code: {used}')


def read_photos(annotations: Path, images: Path) -> list[Photo]:
    """Find the candidates of all photos."""
    coco, folder = load_coco(annotations, images), open_folder(images)
    objects: dict[int, list[dict[str, object]]] = {image["id"]: [] for image in coco["images"]}
    for annotation in coco["annotations"]:
        if not annotation.get("iscrowd"):
            objects[annotation["image_id"]].append(annotation)
    photos = []
    for image in coco["images"]:
        height, width = image["height"], image["width"]
        pieces = cut_into_pieces(np.asarray(folder.open(image["file_name"])))
        candidates, cues = find_candidates(pieces)
        masks = [to_mask(one["segmentation"], height, width) for one in objects[image["id"]]]
        ious = overlap(candidates, enlarge(pieces.labels, height, width), masks)
        photos.append(Photo(candidates, pieces.areas, np.stack([cues[name] for name in WEIGHTS], axis=1), ious))
    return photos


def overlap(candidates: np.ndarray, labels: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Return the IoU of each candidate (c, r), with pieces as in the (h, w) labels, and each mask: (c, n)."""
    count = candidates.shape[1]
    areas = candidates @ np.bincount(labels.ravel(), minlength=count)
    ious = np.zeros((len(candidates), len(masks)))
    for number, mask in enumerate(masks):
        shared = candidates @ np.bincount(labels[mask.astype(bool)], minlength=count)
        ious[:, number] = shared / (areas + mask.sum() - shared)
    return ious


def fit(photos: list[Photo]) -> tuple[np.ndarray, float]:
    """Fit weights (q,) and constant, so that the evidence tells candidates with an IoU of 0.5 with an object.

    Only what differs within a photo counts for the weights: cues are measured from their mean in the photo.
    """
    cues = np.concatenate([photo.cues - photo.cues.mean(axis=0) for photo in photos])
    is_object = np.concatenate([photo.ious.max(axis=1, initial=0) >= 0.5 for photo in photos])
    spread = cues.std(axis=0) + 1e-9
    inputs = np.concatenate([(cues / spread).clip(-MOST, MOST), np.ones((len(cues), 1))], axis=1)
    penalties = np.append(np.full(cues.shape[1], PENALTY), 0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        evidence = inputs @ weights
        value = np.logaddexp(0, np.where(is_object, -evidence, evidence)).sum() + penalties @ weights**2 / 2
        return float(value), inputs.T @ (expit(evidence) - is_object) + penalties * weights

    found = minimize(
        loss,
        np.zeros(inputs.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-3},
    ).x
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ np.concatenate([photo.cues for photo in photos]).mean(axis=0))


def say_recall(photos: list[Photo], weights: list[np.ndarray]) -> str:
    """Say the recall at each of `COUNTS`, each photo ranked with its weights."""
    found, num_objects = dict.fromkeys(COUNTS, 0), 0
    for photo, own in zip(photos, weights, strict=True):
        best = suppress(photo.candidates, photo.cues @ own, photo.areas, max(COUNTS))
        is_crowd = np.zeros(photo.ious.shape[1], dtype=bool)
        num_objects += len(is_crowd)
        for count in COUNTS if len(is_crowd) else ():
            matches = match(photo.ious[best[:count]], is_crowd, is_crowd[None], np.array([0.5]))
            found[count] += int(matches.is_true.sum())
    shares = ", ".join(f"{100 * number / num_objects:.1f} % at {count}" for count, number in found.items())
    return f"{shares} per photo ({num_objects} objects)"


if __name__ == "__main__":
    main(sys.argv[1:])
