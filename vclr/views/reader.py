"""The views of an image: the photo itself, files beside it, or renderings computed on the fly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vclr.catalog.views import NATURAL, REFUSE
from vclr.config import DataSetConfig, ViewsConfig
from vclr.errors import UserError
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.open import open_folder
from vclr.structures import Size
from vclr.views.choice import check_view_names, drawn_views, teacher_view_weights, view_weights
from vclr.views.computed import render_view
from vclr.views.draws import ViewDraws
from vclr.views.files import ViewFiles
from vclr.views.missing import refuse_without_view


class ImageViews:
    """Reads the views of a data set by name."""

    def __init__(
        self,
        images: ImageFolder,
        folders: Mapping[str, str],
        seed: int,
        file_names: Sequence[str],
        key: str = "data.train.views",
        may_be_missing: bool = False,
    ) -> None:
        """Find the files of the views that have some.

        Args:
            images: the photos.
            folders: the folder of each view that is files; all other views are computed.
            seed: of computed views.
            file_names: of the photos.
            key: the setting of the folders, for errors.
            may_be_missing: some photos may have no file.

        Raises:
            UserError: images have no file in a view; says how many and the first.
        """
        self.images = images
        self.seed = seed
        self.file_names = file_names
        self.files = {
            view: ViewFiles(view, Path(folder), file_names, key, may_be_missing) for view, folder in folders.items()
        }

    def needs_photo(self, view: str, index: int) -> bool:
        """Tell whether a view of a photo is the photo or computed from it, and so is no file of its own."""
        return view not in self.files or not self.files[view].has(index)

    def read(self, view: str, index: int, size: Size, photo: Image.Image | None) -> Image.Image:
        """Return a view of the photo at `index`, or the photo itself if a file that may be missing is.

        Args:
            view: its name.
            index: the photo's place in `file_names`.
            size: the photo's (height, width).
            photo: the photo itself; may be None if the view does not need it.

        Raises:
            UserError: the view's file is not an image, or not of the photo's size.
        """
        if view in self.files and self.files[view].has(index):
            image = self.files[view].open(index)
            if image.size != size[::-1]:
                path, name, (height, width) = self.files[view].path(index), self.file_names[index], size
                raise UserError(f"{path}: is {image.width}x{image.height}, its photo {name} is {width}x{height}")
            return image
        assert photo is not None  # callers ask needs_photo
        if view == NATURAL or view in self.files:
            return photo
        stem = Path(self.file_names[index]).stem
        return Image.fromarray(render_view(view, np.asarray(photo), self.seed, stem, self._draw_photo))

    def _draw_photo(self, generator: np.random.Generator) -> np.ndarray:
        """Read another photo of the data set, for views that borrow from one."""
        return np.asarray(self.images.open(self.file_names[int(generator.integers(len(self.file_names)))]))


class ViewReader(ImageViews):
    """Draws views for student and teacher, and reads them by name.

    Attributes:
        names: all views that are drawn.
        student, teacher: how often each is drawn, by `views.weights` and `views.teacher_weights`.
    """

    def __init__(self, data_set: DataSetConfig, config: ViewsConfig, file_names: Sequence[str]) -> None:
        """Check that every view with a weight exists for every image, as far as `views.missing` asks for it.

        Raises:
            UsageError: a view is neither natural, nor a folder of the data set, nor computed.
            UserError: images have no file in a view, and `views.missing` does not allow that; says how many and the
                first.
        """
        check_view_names(config, data_set)
        self.names = drawn_views(config, data_set)
        folders = {view: data_set.views[view] for view in self.names if view in data_set.views}
        may_be_missing = config.missing != REFUSE
        super().__init__(open_folder(data_set.images), folders, config.seed, file_names, may_be_missing=may_be_missing)
        refuse_without_view(config, self.files, data_set)
        self.student = ViewDraws(view_weights(config, data_set), self.files, config.missing)
        self.teacher = ViewDraws(teacher_view_weights(config), self.files, config.missing)

    def count_missing(self) -> dict[str, int]:
        """Return how many photos have no file, for each view of which some have none."""
        counts = {view: len(files.missing()) for view, files in self.files.items()}
        return {view: count for view, count in counts.items() if count}
