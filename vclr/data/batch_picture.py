"""A picture of a training batch: the views and the photos as student and teacher get them, with their objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from vclr.drawing import contact_sheet, draw_objects, shrink
from vclr.pictures import write_png
from vclr.structures import Batch

NUM_IMAGES = 6  # shown of a batch
MAX_SIDE = 512  # pixels of an image in the picture
FILE = "views.png"


def write_batch_picture(batch: Batch, folder: Path) -> Path:
    """Write a picture into a folder: a column for each of the first images, under the name of its view.

    The first row shows the views, which the student gets, with the outlines of the objects that it is to find; the
    second one the photos, which the teacher gets. Without views other than the photo there is only one row.

    Args:
        batch: of any device.
        folder: is created.

    Returns:
        The path of the picture.
    """
    shown = range(min(NUM_IMAGES, len(batch)))
    rows = [[_draw(batch, batch.images, place) for place in shown]]
    if batch.natural is not batch.images:
        rows.append([_draw(batch, batch.natural, place) for place in shown])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_png(path, contact_sheet(rows, [batch.views[place] for place in shown]))
    return path


def _draw(batch: Batch, images: Tensor, place: int) -> np.ndarray:
    height, width = batch.image_sizes[place]
    image = images[place, :, :height, :width].permute(1, 2, 0).cpu().numpy()
    image, masks, _ = shrink(image, list(batch.targets[place].masks.cpu().numpy()), side=MAX_SIDE)
    return draw_objects(image, masks, fill=[False] * len(masks))
