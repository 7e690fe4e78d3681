"""The small pieces into which the method `graph` cuts a photo, as a graph with the facts that all its steps need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import felzenszwalb

WORKING_SIDE = 320  # pixels of the longer side at which pieces are found
BINS = 8  # of each of the four histograms: lightness, two of color, fine contrast


@dataclass
class Pieces:
    """The first segmentation as a graph: r pieces, and e pairs of pieces that touch."""

    labels: np.ndarray  # (h, w) the piece of each pixel
    areas: np.ndarray  # (r,) pixels
    histograms: np.ndarray  # (r, 4 * BINS) pixel counts
    boxes: np.ndarray  # (r, 4) xyxy pixels
    border_lengths: np.ndarray  # (r,) pixels along the image's border
    moments: np.ndarray  # (r, 5) sums over the pixels of x, y, x^2, y^2 and xy
    colors: np.ndarray  # (r, 4) sums over the pixels of the three Lab values and of their squares
    pairs: np.ndarray  # (e, 2) pieces that touch
    lengths: np.ndarray  # (e,) pixels along which they do
    edges: np.ndarray  # (e,) sum over these pixels of the Lab difference across


def cut_into_pieces(image: np.ndarray) -> Pieces:
    """Segment a photo (h, w, 3) uint8 finely, at a longer side of at most `WORKING_SIDE`."""
    height, width = image.shape[:2]
    factor = min(1.0, WORKING_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    labels = felzenszwalb(small, scale=40, sigma=0.8, min_size=25)
    lab = rgb2lab(small)
    count = int(labels.max()) + 1
    sides = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    slices = ndimage.find_objects(labels + 1)
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    return Pieces(
        labels,
        np.bincount(labels.ravel()),
        _histograms(lab, labels),
        np.array([(across.start, down.start, across.stop, down.stop) for down, across in slices]),
        np.bincount(sides, minlength=count),
        _sums([columns, rows, columns**2, rows**2, columns * rows], labels),
        _sums([*lab.transpose(2, 0, 1), (lab**2).sum(axis=2)], labels),
        *_touching(ndimage.gaussian_filter(lab, (1, 1, 0)), labels, count),
    )


def _sums(values: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Sum each of the (h, w) values over the pixels of each piece: (r, number of values)."""
    return np.stack([np.bincount(labels.ravel(), weights=value.ravel()) for value in values], axis=1)


def _histograms(lab: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count, for each piece, its pixels by lightness, color (a, b) and fine contrast: (r, 4 * BINS)."""
    contrast = np.abs(lab[..., 0] - ndimage.gaussian_filter(lab[..., 0], 2))
    shares = lab[..., 0] / 100, (lab[..., 1] + 60) / 120, (lab[..., 2] + 60) / 120, contrast / 16
    histograms = []
    for share in shares:
        bins = np.clip((share * BINS).astype(np.intp), 0, BINS - 1)
        counts = np.bincount((labels * BINS + bins).ravel(), minlength=(int(labels.max()) + 1) * BINS)
        histograms.append(counts.reshape(-1, BINS))
    return np.concatenate(histograms, axis=1)


def _touching(lab: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of pieces that touch (e, 2), along how many pixels, and the summed difference across."""
    keys, differences = [], []
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        crossing = labels[near] != labels[far]
        first, second = labels[near][crossing], labels[far][crossing]
        keys.append(np.minimum(first, second) * count + np.maximum(first, second))
        differences.append(np.linalg.norm((lab[near] - lab[far])[crossing], axis=1))
    pairs, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    lengths = np.bincount(inverse, minlength=len(pairs))
    edges = np.bincount(inverse, weights=np.concatenate(differences), minlength=len(pairs))
    return np.stack([pairs // count, pairs % count], axis=1), lengths, edges
