"""The views of a training image: the photo itself, files beside it, or renderings computed on the fly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vclr.config import DataSetConfig, ViewsConfig
from vclr.data.catalog import view_weights
from vclr.errors import UsageError, UserError, nearest
from vclr.files import read_image
from vclr.ops.appearance import COMPUTED_VIEWS, render_view

NATURAL = "natural"


class ViewReader:
    """Draw and read views by name, by the relative weights of `views.weights`."""

    def __init__(self, data_set: DataSetConfig, config: ViewsConfig, file_names: list[str]) -> None:
        """Check that every view with a weight can be had for every image.

        Raises:
            UsageError: a view that is neither natural, nor a folder of the data set, nor computed.
            UserError: an image without its view file; says how many and the first.
        """
        self.images = Path(data_set.images)
        self.seed = config.seed
        self.file_names = file_names
        weights = view_weights(config, data_set)
        self.names = list(weights)
        self.probabilities = np.array(list(weights.values())) / sum(weights.values())
        self.files = {
            view: _find_files(view, Path(data_set.views[view]), file_names)
            for view in self.names
            if view in data_set.views
        }
        available = [NATURAL, *data_set.views, *COMPUTED_VIEWS]
        for view in self.names:
            if view not in available:
                near = nearest(view, available)
                raise UsageError(
                    f"views.weights.{view}: no folder data.train.views.{view} and not a computed view; nearest: {near}"
                )

    def draw(self, generator: np.random.Generator) -> str:
        """Draw the name of a view."""
        return self.names[int(generator.choice(len(self.names), p=self.probabilities))]

    def read(self, view: str, file_name: str, photo: np.ndarray) -> np.ndarray:
        """Return a view (h, w, 3) uint8 of the photo `file_name`, which has been read already.

        Raises:
            UserError: the view's file is not an image or not of the photo's size.
        """
        if view == NATURAL:
            return photo
        if view in self.files:
            path = self.files[view][file_name]
            image = read_image(path)
            if image.shape != photo.shape:
                size, expected = image.shape[1::-1], photo.shape[1::-1]
                raise UserError(f"{path}: is {size[0]}x{size[1]}, its photo {file_name} is {expected[0]}x{expected[1]}")
            return image
        return render_view(view, photo, self.seed, Path(file_name).stem, self._draw_photo)

    def _draw_photo(self, generator: np.random.Generator) -> np.ndarray:
        """Read another photo of the data set, for views that borrow from one."""
        return read_image(self.images / self.file_names[int(generator.integers(len(self.file_names)))])


def _find_files(view: str, folder: Path, file_names: list[str]) -> dict[str, Path]:
    """Map each photo to its file of the same stem in the view's folder."""
    if not folder.is_dir():
        raise UserError(f"data.train.views.{view}={folder}: does not exist")
    files, missing = {}, []
    for name in file_names:
        stem = folder / Path(name).with_suffix("")
        for suffix in (".png", ".jpg", Path(name).suffix):
            path = stem.with_name(stem.name + suffix)
            if path.is_file():
                files[name] = path
                break
        else:
            missing.append(name)
    if missing:
        raise UserError(f"{folder}: view {view} of {len(missing)} photos is missing; the first: {missing[0]}")
    return files
