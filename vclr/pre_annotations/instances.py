"""A picture per photo whose pixels are the numbers of objects, as many tools for segmentation read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vclr.pictures import write_png
from vclr.pre_annotations.photo import FoundPhoto, Naming


def write(photos: list[FoundPhoto], folder: Path, naming: Naming) -> None:
    """Write `<stem>.png` for each photo: gray of 16 bits, 0 where no object is.

    A number is the object's place in the json of `vclr predict`, from 1. Where objects overlap, the better one is seen.
    """
    for photo in photos:
        numbers = np.zeros((photo.height, photo.width), np.uint16)
        for one in reversed(photo.objects):
            left, top, width, height = one.box
            part = numbers[top : top + height, left : left + width]
            part[one.crop() > 0] = one.number
        write_png(folder / f"{photo.path.stem}.png", numbers)
