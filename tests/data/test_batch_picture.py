"""The picture of a training batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vclr.data.batch_picture import write_batch_picture
from vclr.structures import Batch, Target

CELL = 256 + 8  # pixels from one picture to the next


def batch_of(sizes: list[tuple[int, int]], has_photos: bool = True) -> Batch:
    """Return a batch of red views of blue photos, each with an object in its upper left quarter."""
    height, width = (max(side) for side in zip(*sizes, strict=True))
    images, natural = torch.zeros(2, len(sizes), 3, height, width, dtype=torch.uint8)
    targets = []
    for place, (rows, columns) in enumerate(sizes):
        images[place, 0, :rows, :columns], natural[place, 2, :rows, :columns] = 255, 255
        mask = torch.zeros(1, rows, columns, dtype=torch.uint8)
        mask[:, : rows // 2, : columns // 2] = 1
        targets.append(Target(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 4), mask, place))
    views = ["depth" if place % 2 else "style" for place in range(len(sizes))]
    return Batch(images, natural if has_photos else images, sizes, targets, views)


@pytest.mark.parametrize("side", [32, 1000])
def test_views_are_above_their_photos_without_padding_and_with_outlines(tmp_path: Path, side: int):
    path = write_batch_picture(batch_of([(side, side), (side, side // 2)]), tmp_path / "new")
    picture = np.asarray(Image.open(path))
    top, center = picture.shape[0] - 2 * CELL, CELL // 2 + 4
    assert (picture[top + 200, center] == (255, 0, 0)).all(), "a view"
    assert (picture[top + CELL + 200, center] == (0, 0, 255)).all(), "its photo"
    assert (picture[top + 200, center + CELL] == (255, 0, 0)).all()
    assert (picture[top + 128, center + CELL - 100] == 255).all(), "white beside a narrow image, not its padding"
    square = picture[top : top + 256, 8 : 8 + 256]
    assert (square[60, 60] == (255, 0, 0)).all(), "the object is not filled"
    assert (square[60, 124:132] != (255, 0, 0)).any(), "it has an outline"


def test_a_batch_of_photos_has_one_row_and_few_columns(tmp_path: Path):
    picture = np.asarray(Image.open(write_batch_picture(batch_of([(40, 40)] * 9, has_photos=False), tmp_path)))
    assert picture.shape[0] < 2 * CELL
    assert picture.shape[1] == 8 + 6 * CELL
