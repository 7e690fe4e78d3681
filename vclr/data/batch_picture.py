"""A picture of a training batch: what student and teacher see, with the objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.segmentation import find_boundaries
from torch import Tensor

from vclr.catalog.views import NATURAL
from vclr.drawing import PALETTE, SHEET_SIDE, contact_sheet, enlarge, enlargement, shrink
from vclr.pictures import write_png
from vclr.structures import Batch

NUM_IMAGES = 6  # shown of a batch
FILE = "views.png"


def write_batch_picture(batch: Batch, folder: Path) -> Path:
    """Write a picture into a folder: a column for each of the first images, under the name of its view.

    The first row shows the views before they are corrupted (`views.corrupt`), with the outlines of the objects that the
    student is to find; the second one what the teacher gets. If both get the same, there is only one row. If the
    teacher gets other views than the photo (`views.teacher_weights`), both names stand above a column.

    Args:
        batch: of any device.
        folder: is created.

    Returns:
        The path of the picture.
    """
    shown = range(min(NUM_IMAGES, len(batch)))
    rows = [[_draw(batch, batch.images, place) for place in shown]]
    if batch.teacher_images is not batch.images:
        rows.append([_draw(batch, batch.teacher_images, place) for place in shown])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    captions = batch.views
    if set(batch.teacher_views) - {NATURAL, ""}:
        captions = [f"{view} / {other}" for view, other in zip(captions, batch.teacher_views, strict=True)]
    write_png(path, contact_sheet(rows, [captions[place] for place in shown]))
    return path


def _draw(batch: Batch, images: Tensor, place: int) -> np.ndarray:
    """Draw all outlines at once: hundreds of objects one by one would hold up the training for seconds."""
    height, width = batch.image_sizes[place]
    image = images[place, :, :height, :width].permute(1, 2, 0).cpu().numpy()
    image, masks, _ = shrink(image, list(batch.targets[place].masks.cpu().numpy()), side=SHEET_SIDE)
    labels = np.zeros(image.shape[:2], np.int32)
    for number, mask in sorted(enumerate(masks, start=1), key=lambda one: -np.count_nonzero(one[1])):
        labels[mask > 0] = number
    factor = enlargement(image)
    picture, labels = enlarge(image, factor), enlarge(labels, factor)
    edges = find_boundaries(labels, mode="inner")
    picture[edges] = np.array(PALETTE)[(labels[edges] - 1) % len(PALETTE)]
    return picture
