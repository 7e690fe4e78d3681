"""Photos for prediction, read and resized by a thread while the detector works on those before them."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vclr.config import TestMapperConfig
from vclr.data.samples import TestSample, make_test_sample
from vclr.drawing import shrink
from vclr.errors import UserError, explain
from vclr.pictures import open_image, read_image_header
from vclr.structures import Size


@dataclass
class ReadPhoto:
    """A photo that is ready for the detector.

    Attributes:
        path: its file.
        size: height and width, upright.
        sample: the resized photo; None if it will be cut into tiles.
        pixels: (h, w, 3) uint8 of the whole photo if it will be cut into tiles.
        picture: (h, w, 3) uint8, small enough to draw on.
        has_frames: whether the file holds more frames or pages than the one that was read.
    """

    path: Path
    size: Size
    sample: TestSample | None
    pixels: np.ndarray | None
    picture: np.ndarray
    has_frames: bool


@dataclass(frozen=True)
class Refused:
    """A photo that cannot be read, and one line that says why."""

    path: Path
    says: str


def read_ahead(
    photos: Sequence[Path], mapper: TestMapperConfig, tile: int | None, batch_size: int
) -> Generator[list[ReadPhoto | Refused], None, None]:
    """Yield batches of photos, in order, while a thread reads the next batch.

    In memory are two batches at most, and of each photo only the resized picture, unless it will be cut into tiles.

    Args:
        photos: image files.
        mapper: the size to which photos are resized.
        tile: side of the tiles; photos that are larger stay whole.
        batch_size: number of photos in a batch.
    """
    batches = [photos[start : start + batch_size] for start in range(0, len(photos), batch_size)]
    with ThreadPoolExecutor(1, "read") as reader:
        waiting: deque[list[Future[ReadPhoto | Refused]]] = deque()
        try:
            for batch in [*batches, None]:
                if batch is not None:
                    waiting.append([reader.submit(read_or_refuse, photo, mapper, tile) for photo in batch])
                if len(waiting) > 1 or (batch is None and waiting):
                    yield [future.result() for future in waiting.popleft()]
        finally:
            reader.shutdown(wait=False, cancel_futures=True)


def read_or_refuse(photo: Path, mapper: TestMapperConfig, tile: int | None) -> ReadPhoto | Refused:
    """Read a photo, or say why that is impossible; defects of this package are raised."""
    try:
        return read_photo(photo, mapper, tile)
    except Exception as error:
        if (explanation := explain(error)) is None:
            raise
        says = explanation[0]
        return Refused(photo, says if str(photo) in str(error) else f"{photo}: {says}")


def read_photo(photo: Path, mapper: TestMapperConfig, tile: int | None = None) -> ReadPhoto:
    """Read a photo.

    Raises:
        UserError: it is not a regular file, not an image, damaged, too large, or of an unsupported kind.
    """
    _refuse_irregular(photo)
    header = read_image_header(photo)
    image = open_image(photo)
    size = image.height, image.width
    is_tiled = tile is not None and max(size) > tile
    sample = None if is_tiled else make_test_sample(image, mapper)
    pixels = np.asarray(image)
    del image  # Pillow's copy is the larger one
    picture, _, _ = shrink(pixels, [])
    return ReadPhoto(photo, size, sample, pixels if is_tiled else None, picture, header.has_frames)


def _refuse_irregular(photo: Path) -> None:
    """Refuse what is not a regular file: opening a pipe would wait forever."""
    try:
        mode = os.stat(photo).st_mode
    except OSError as error:
        says = "is a broken link" if os.path.islink(photo) and not os.path.exists(photo) else error.strerror
        raise UserError(f"{photo}: {says}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{photo}: is a folder")
    if not stat.S_ISREG(mode):
        raise UserError(f"{photo}: is not a regular file")
