"""The view `pseudo_depth`: a guess, without weights, of how near each part of a photo is, shown as colors."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from vclr.depth_colors import colorize_depth
from vclr.views.computed import DrawPhoto
from vclr.views.regions import find_regions

WORKING_SIDE = 240  # pixels of the longer side at which regions are found


def render(image: np.ndarray, random: Generator, draw_photo: DrawPhoto) -> np.ndarray:
    """Render the view `pseudo_depth` (see `vclr.views.computed`)."""
    return colorize_depth(estimate_nearness(image))


def estimate_nearness(image: np.ndarray) -> np.ndarray:
    """Guess how near each region of a photo is, from three cues that need no training.

    A thing that stands on the ground is as near as the point where it meets the ground (the lowest row of its region);
    a thing in focus shows fine contrast; and a color that differs from those along the image's border is rarely
    backdrop. Each region gets one value, as an object does in a depth map, but a region that spans the image, such as
    a floor, keeps the slope of its rows.

    Args:
        image: (h, w, 3) uint8 RGB.

    Returns:
        (h, w) float32 in [0, 1], 1 is near.
    """
    height, width = image.shape[:2]
    small, labels = find_regions(image, WORKING_SIDE)
    pixels = small.astype(np.float64)
    rows = np.broadcast_to(np.linspace(0, 1, small.shape[0])[:, None], labels.shape)
    extent = np.bincount(labels.ravel()) / labels.size
    slope = np.minimum(1, 4 * extent)[labels]
    contact = np.asarray(ndimage.maximum(rows, labels, np.arange(len(extent))))[labels]
    ground = slope * rows + (1 - slope) * contact
    nearness = 0.6 * ground + 0.2 * _sharpness(pixels, labels) + 0.2 * _saliency(pixels, labels)
    nearness = _stretch(ndimage.gaussian_filter(nearness, 0.6))
    picture = Image.fromarray(nearness.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(picture), 0, 1)


def _sharpness(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean fine contrast of each pixel's region, in [0, 1]: the cue of focus."""
    gray = pixels.mean(axis=2)
    detail = np.abs(gray - ndimage.uniform_filter(gray, 5))
    return _stretch(_region_means(detail, labels))[labels]


def _saliency(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean distance of each region's color from the colors at the sides and the top, in [0, 1]."""
    colors = np.stack([_region_means(channel, labels) for channel in pixels.transpose(2, 0, 1)], axis=1)
    backdrop, lengths = np.unique(np.concatenate([labels[0], labels[:, 0], labels[:, -1]]), return_counts=True)
    distances = np.linalg.norm(colors[:, None] - colors[None, backdrop], axis=2)
    return _stretch(distances @ lengths)[labels]


def _region_means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of the (h, w) `values` per region."""
    return np.bincount(labels.ravel(), weights=values.ravel()) / np.bincount(labels.ravel())


def _stretch(values: np.ndarray) -> np.ndarray:
    """Map `values` linearly to [0, 1]; a constant becomes 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, 1e-9)
