"""Masks on a coarse grid, refined along the edges of the photo by a guided filter (He, Sun and Tang, 2010).

MaskCut refines with a conditional random field. The guided filter has one pass instead of ten, and needs no library
beyond SciPy: it is made of box filters (`scipy.ndimage.uniform_filter`); neither SciPy nor scikit-image has it whole.

Letters beside the legend of `vclr.structures`: m mask, c color.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

WORKING_SIDE = 320  # pixels of the longer side at which the filter works
REACH = 1.5  # radius of the filter, in patches
SMOOTHNESS = 1e-3  # variance of a color in [0, 1] below which a window is taken for flat
MIN_IOU = 0.5  # with the coarse mask; below, the photo's edges have misled the filter


def refine_masks(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Bring masks from the grid to the photo's pixels.

    Args:
        image: (h, w, 3) uint8 RGB.
        masks: (m, rows, columns) bool on a grid over the photo.

    Returns:
        (m, h, w) bool. A mask that the filter changes too much, or empties, is enlarged only.
    """
    height, width = image.shape[:2]
    factor = min(1.0, WORKING_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    guide = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX), np.float32) / 255
    coarse = np.array([_resize(mask, size) for mask in masks], np.float32).reshape(-1, size[1], size[0])
    radius = REACH * max(size[0] / masks.shape[2], size[1] / masks.shape[1])
    soft = filter_guided(guide, coarse, max(1, round(radius)))
    for index, (before, after) in enumerate(zip(coarse > 0.5, soft > 0.5, strict=True)):
        if (before & after).sum() < MIN_IOU * (before | after).sum() or not after.any():
            soft[index] = coarse[index]
    refined = np.empty((len(masks), height, width), bool)
    for index, mask in enumerate(soft):
        refined[index] = _resize(mask, (width, height)) > 0.5
    return refined


def filter_guided(guide: np.ndarray, masks: np.ndarray, radius: int) -> np.ndarray:
    """Replace each mask, window by window, by the linear function of the colors that is nearest to it.

    Args:
        guide: (h, w, c) float32 in [0, 1].
        masks: (m, h, w) float32.
        radius: of the windows, in pixels; they have 2 * radius + 1 pixels along each side.

    Returns:
        (m, h, w) float32.
    """
    colors = guide.transpose(2, 0, 1)
    means, mask_means = _box(colors, radius), _box(masks, radius)
    squares = _box(colors[:, None] * colors[None], radius) - means[:, None] * means[None]
    variance = squares.transpose(2, 3, 0, 1) + SMOOTHNESS * np.eye(len(colors), dtype=np.float32)
    shared = _box(masks[:, None] * colors[None], radius) - mask_means[:, None] * means[None]
    slopes = np.einsum("hwcd,mdhw->mchw", np.linalg.inv(variance), shared)
    offsets = mask_means - (slopes * means).sum(axis=1)
    filtered = (_box(slopes, radius) * colors).sum(axis=1) + _box(offsets, radius)
    return filtered.astype(np.float32)  # type: ignore[no-any-return]


def _box(values: np.ndarray, radius: int) -> np.ndarray:
    """Average the last two axes over windows; beyond the border, the nearest pixel counts."""
    side = 2 * radius + 1
    rows = ndimage.uniform_filter1d(values, side, axis=-2, mode="nearest")
    return ndimage.uniform_filter1d(rows, side, axis=-1, mode="nearest")  # type: ignore[no-any-return]


def _resize(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask to (width, height), float32."""
    return np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
