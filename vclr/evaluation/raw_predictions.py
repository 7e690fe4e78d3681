"""Pictures of everything that a detector predicts with some confidence, including masks that fit no object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from vclr.drawing import PALETTE, draw_objects, enlargement, match_masks

UNMATCHED = (20, 20, 20)
DASH = 6  # pixels of the enlarged picture in each dash, and between two
LINE_WIDTH = 2


def draw_raw(
    image: np.ndarray,
    objects: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    fade: float = 0.0,
) -> tuple[np.ndarray, int]:
    """Draw predicted masks: filled if they fit an object, as a dashed black outline if they fit none.

    Args:
        image: (h, w, 3) uint8 RGB.
        objects: (h, w) each, the annotated masks; the n-th has the n-th color of the palette.
        predictions: (h, w) each, the predicted masks. Each object has at most one; a second mask for it fits none.
        fade: as of `draw_objects`.

    Returns:
        The picture, enlarged as by `draw_objects`, and the number of predictions that fit no object.
    """
    pairs = match_masks(objects, predictions)
    colors = [PALETTE[index % len(PALETTE)] for index in pairs]
    drawn = draw_objects(image, [predictions[position] for position in pairs.values()], colors=colors, fade=fade)
    picture = Image.fromarray(drawn)
    pen = ImageDraw.Draw(picture)
    unmatched = [mask for position, mask in enumerate(predictions) if position not in pairs.values()]
    for mask in unmatched:
        _draw_dashes(pen, np.asarray(mask) > 0, enlargement(image))
    return np.asarray(picture), len(unmatched)


def _draw_dashes(pen: ImageDraw.ImageDraw, mask: np.ndarray, factor: int) -> None:
    enlarged = np.pad(mask.repeat(factor, axis=0).repeat(factor, axis=1), 1).astype(np.float32)
    for contour in find_contours(enlarged, 0.5):
        points = [(column - 1, row - 1) for row, column in contour]
        for start in range(0, len(points) - 1, 2 * DASH):
            pen.line(points[start : start + DASH + 1], fill=UNMATCHED, width=LINE_WIDTH)
