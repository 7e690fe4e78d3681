"""The photos of a data set: names, sizes and ids in arrays, and access to each photo."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vclr.coco.annotations import Json
from vclr.data.packed import PackedList
from vclr.errors import UserError
from vclr.image_folders.open import Images, open_folder
from vclr.structures import Size


class ImageList:
    """The `images` of a COCO json, with their files in a folder or zip; workers share it (see `PackedList`)."""

    def __init__(self, folder: Images, entries: list[Json]) -> None:
        self.folder = open_folder(folder)
        self.file_names = PackedList[str](entry["file_name"] for entry in entries)
        self.ids = PackedList[int](entry["id"] for entry in entries)
        self.sizes = np.array([(entry["height"], entry["width"]) for entry in entries], dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.ids)

    def size(self, index: int) -> Size:
        """Return the (height, width) of an image according to its entry."""
        height, width = self.sizes[index].tolist()
        return height, width

    def is_wide(self) -> np.ndarray:
        """Return (num_images,) bool, True where an image is wider than high."""
        return self.sizes[:, 1] > self.sizes[:, 0]

    def open(self, index: int) -> Image.Image:
        """Read an image.

        Raises:
            UserError: the file is not an image, or its size differs from its entry.
        """
        name = self.file_names[index]
        image, (height, width) = self.folder.open(name), self.size(index)
        if image.size != (width, height):
            path = self.folder.path_of(name)
            raise UserError(
                f"{path}: is {image.width}x{image.height}, its entry (id {self.ids[index]}) says {width}x{height}"
            )
        return image
