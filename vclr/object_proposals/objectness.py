"""Whether a proposal looks like an object: a logistic regression on what it and its surroundings look like.

It is trained on proposals for photos whose known objects are annotated. Those that find a known object are objects;
those that overlap none count as no objects, although some of them show novel ones: the model is to rank, and a novel
object looks more like a known one than like background.

Letters beside the legend of `vclr.structures`: f feature, e edge between two neighboring pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage, optimize
from scipy.special import expit
from skimage.color import rgb2lab

from vclr.coco.annotations import rasterize
from vclr.coco.checks import Json

WORKING_SIDE = 240  # pixels of the longer side at which features are measured
BINS = 8  # of each of the three histograms of color
RING = 7  # pixels around a proposal that are its surroundings
INSIDE = 0.9  # share of a proposal that lies in another one, from which on it counts as a part of it
# The weights are drawn to "as good as its source says, whatever it looks like", by a penalty on their squares that few
# photos do not outweigh. On two halves of 100 photos, penalties from 30 to 100 did best.
SOURCE_WEIGHT, PENALTY = 1.0, 100.0
FEATURES = (
    "source",  # how good its source finds it: logarithm of `Ranks.weigh`
    "area", "area squared", "extent", "compactness", "at border", "elongation", "distance to center",
    "edge along boundary", "edges inside", "edge contrast", "color difference", "color distance", "variation",
    "parts", "wholes",
)  # fmt: skip


def measure_features(image: np.ndarray, proposals: list[Json], weights: np.ndarray) -> np.ndarray:
    """Measure what the proposals for a photo look like.

    Args:
        image: (h, w, 3) uint8 RGB.
        proposals: annotations, each with `bbox` and possibly `segmentation`.
        weights: (n,) what their source says of them, in (0, 1].

    Returns:
        (n, f) float64, in the order of `FEATURES`.
    """
    if not proposals:
        return np.empty((0, len(FEATURES)))
    height, width = image.shape[:2]
    factor = min(1.0, WORKING_SIDE / max(height, width))
    small_height, small_width = max(1, round(height * factor)), max(1, round(width * factor))
    small = Image.fromarray(image).resize((small_width, small_height), Image.Resampling.BOX)
    lab = ndimage.gaussian_filter(rgb2lab(np.asarray(small)), (0.7, 0.7, 0))
    rows = (2 * np.arange(small_height) + 1) * height // (2 * small_height)
    columns = (2 * np.arange(small_width) + 1) * width // (2 * small_width)
    masks = np.zeros((len(proposals), small_height, small_width), dtype=bool)
    for mask, proposal in zip(masks, proposals, strict=True):
        mask[:] = rasterize(proposal, height, width)[np.ix_(rows, columns)]
    # A proposal between the pixels of the small photo gets one of them.
    for number in np.flatnonzero(~masks.any(axis=(1, 2))):
        x, y, w, h = proposals[number]["bbox"]
        row, column = int((y + h / 2) * small_height / height), int((x + w / 2) * small_width / width)
        masks[number, min(max(row, 0), small_height - 1), min(max(column, 0), small_width - 1)] = True
    source = np.log(np.maximum(weights, 1e-6))
    return np.column_stack(
        [source, *_measure_shape(masks), *_measure_edges(masks, lab), *_measure_colors(masks, lab), *_nest(masks)]
    )


def _measure_shape(masks: np.ndarray) -> list[np.ndarray]:
    """Return the features `area` to `distance to center`."""
    height, width = masks.shape[1:]
    areas = masks.sum(axis=(1, 2))
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    top, bottom = rows.argmax(axis=1), height - np.flip(rows, axis=1).argmax(axis=1)
    left, right = columns.argmax(axis=1), width - np.flip(columns, axis=1).argmax(axis=1)
    sides = masks[:, 0].sum(1) + masks[:, -1].sum(1) + masks[:, :, 0].sum(1) + masks[:, :, -1].sum(1)
    across, down = masks[:, :, 1:] ^ masks[:, :, :-1], masks[:, 1:] ^ masks[:, :-1]
    perimeter = across.sum(axis=(1, 2)) + down.sum(axis=(1, 2)) + sides
    log_area = np.log(areas / (height * width))
    centers = np.stack([(top + bottom) / 2 / height, (left + right) / 2 / width]) - 0.5
    return [
        log_area,
        log_area**2,
        areas / ((bottom - top) * (right - left)),
        4 * np.pi * areas / np.maximum(perimeter, 1) ** 2,
        sides / perimeter,
        np.abs(np.log((bottom - top) / (right - left))),
        np.hypot(*centers),
    ]


def _measure_edges(masks: np.ndarray, lab: np.ndarray) -> list[np.ndarray]:
    """Return the features `edge along boundary`, `edges inside` and `edge contrast`."""
    across = np.linalg.norm(lab[:, 1:] - lab[:, :-1], axis=2)
    down = np.linalg.norm(lab[1:] - lab[:-1], axis=2)
    pairs = (masks[:, :, 1:], masks[:, :, :-1], across), (masks[:, 1:], masks[:, :-1], down)
    along, inside = np.zeros((2, len(masks))), np.zeros((2, len(masks)))
    for first, second, steps in pairs:
        for sums, chosen in ((along, first != second), (inside, first & second)):
            flat = chosen.reshape(len(masks), -1).astype(np.float32)
            sums += np.stack([flat @ steps.ravel().astype(np.float32), flat.sum(axis=1)])
    boundary, interior = (sums[0] / np.maximum(sums[1], 1) for sums in (along, inside))
    return [np.log1p(boundary), np.log1p(interior), np.log1p(boundary) - np.log1p(interior)]


def _measure_colors(masks: np.ndarray, lab: np.ndarray) -> list[np.ndarray]:
    """Return the features `color difference`, `color distance` and `variation`."""
    wide = ndimage.maximum_filter1d(masks.astype(np.uint8), 2 * RING + 1, axis=1)
    around = ndimage.maximum_filter1d(wide, 2 * RING + 1, axis=2).astype(bool) & ~masks
    shares = np.stack([lab[..., 0] / 100, (lab[..., 1] + 60) / 120, (lab[..., 2] + 60) / 120])
    bins = np.clip((shares * BINS).astype(np.intp), 0, BINS - 1)
    table = (bins[..., None] == np.arange(BINS)).transpose(1, 2, 0, 3).reshape(-1, 3 * BINS).astype(np.float32)
    colors = lab.reshape(-1, 3).astype(np.float32)
    pixels = np.concatenate([table, colors, colors**2], axis=1)
    own, ring = (_mean_of(chosen, pixels) for chosen in (masks, around))
    own_colors, ring_colors = own[:, 3 * BINS : 3 * BINS + 3], ring[:, 3 * BINS : 3 * BINS + 3]
    variance = np.maximum(own[:, -3:] - own_colors**2, 0).sum(axis=1)
    alike = np.minimum(own[:, : 3 * BINS], ring[:, : 3 * BINS]).sum(axis=1) / 3
    return [1 - alike, np.log1p(np.linalg.norm(own_colors - ring_colors, axis=1)), np.log1p(np.sqrt(variance))]


def _mean_of(chosen: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    flat = chosen.reshape(len(chosen), -1).astype(np.float32)
    return (flat @ pixels).astype(np.float64) / np.maximum(flat.sum(axis=1, keepdims=True), 1)  # type: ignore[no-any-return]


def _nest(masks: np.ndarray) -> list[np.ndarray]:
    """Return the features `parts` and `wholes`: how many proposals lie in each one, and in how many it lies."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    shared = (flat @ flat.T) / np.maximum(flat.sum(axis=1), 1)[:, None]  # the share of the first in the second
    is_part = (shared >= INSIDE) & ~np.eye(len(masks), dtype=bool)
    return [np.log1p(is_part.sum(axis=0)), np.log1p(is_part.sum(axis=1))]


@dataclass
class Objectness:
    """A fitted model: the mean and the spread of each feature (f,), its weight (f,), and the bias."""

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    bias: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the probability (n,) that a proposal is an object."""
        return expit((features - self.mean) / self.spread @ self.weights + self.bias)  # type: ignore[no-any-return]

    def as_json(self) -> Json:
        """Describe the model: the weight of each feature in units of its spread."""
        return {name: round(float(weight), 4) for name, weight in zip(FEATURES, self.weights, strict=True)}


def fit_objectness(features: np.ndarray, is_object: np.ndarray) -> Objectness:
    """Fit the model to features (n, f) and labels (n,) bool, of both kinds; the optimum is unique."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < 1e-9] = 1.0
    inputs = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    signs = np.where(is_object, 1.0, -1.0)

    start = np.zeros(inputs.shape[1])
    start[0] = SOURCE_WEIGHT * spread[0]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (inputs @ weights)
        away = weights - start
        away[-1] = 0  # the bias is free
        gradient = -(signs * expit(-margins)) @ inputs + PENALTY * away
        return float(np.logaddexp(0, -margins).sum() + PENALTY * away @ away / 2), gradient

    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    return Objectness(mean, spread, found.x[:-1], float(found.x[-1]))
