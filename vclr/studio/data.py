"""What is inspected: photos, their annotated objects, and the views; of all this, a sample of the photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from vclr.catalog.views import CONTROLS, NATURAL, RENDERED
from vclr.coco.annotations import Json
from vclr.coco.file import open_coco
from vclr.config import Config
from vclr.data.data_sets import training_set
from vclr.errors import UsageError, UserError, nearest
from vclr.file_names import say_nearest
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.open import Images, find_missing, locate, open_folder, say_folders, say_missing
from vclr.structures import Size
from vclr.views.choice import check_view_names, drawn_views
from vclr.views.files import ViewFiles, find_suffix
from vclr.views.reader import ImageViews

COMPUTED, CONTROL = "computed", "control"  # sources of views that have no files


@dataclass
class Inspected:
    """What to inspect.

    Attributes:
        images: the folder of the photos, or several.
        annotations: COCO json that lists the photos and their objects; None for all photos of the folder.
        folders: the folder of each view that is files.
        computed: names of views to compute, controls included.
        seed: of computed views.
    """

    images: Images
    annotations: Path | None = None
    folders: dict[str, Path] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)
    seed: int = 0

    def check(self) -> None:
        """Refuse names that are no views, and views without a folder.

        Raises:
            UsageError: a view is called like the photo, is named twice, or is not a computed view.
            UserError: a folder does not exist.
        """
        for view in self.computed:
            if view not in RENDERED:
                near = nearest(view, RENDERED)
                raise UsageError(f"--computed {view}: not a computed view; nearest: {near} ({', '.join(RENDERED)})")
            if view in self.folders:
                raise UsageError(f"--computed {view}: is also given as --view {view}=...; give it another name there")
        if NATURAL in self.folders:
            raise UsageError(f"--view {NATURAL}=...: {NATURAL} is the photo itself; give this view another name")
        if (missing := find_missing(self.images)) is not None:
            raise UserError(f"--images {missing}: {say_missing(missing)}")
        for view, folder in self.folders.items():
            if locate(folder) is None:
                raise UserError(f"--view {view}={folder}: does not exist{say_nearest(folder)}")


def views_of_training(config: Config, extra: Sequence[str] = ()) -> Inspected:
    """Return the training set of a configuration with the views that it draws from, and computed ones besides."""
    train = training_set(config)
    check_view_names(config.views, train)
    drawn = drawn_views(config.views, train)
    folders = {view: Path(train.views[view]) for view in drawn if view in train.views}
    computed = [view for view in drawn if view not in train.views and view != NATURAL]
    return Inspected(
        train.images, Path(train.annotations), folders, list(dict.fromkeys([*computed, *extra])), config.views.seed
    )


@dataclass
class View:
    """A view of the sample.

    Attributes:
        source: its folder, or `COMPUTED` or `CONTROL`.
        reader: its files, or what computes it; None if no photo of the sample has a file.
        places: where the reader has each photo.
        missing: number of photos of the whole set without a file.
        first_missing: the first of them.
    """

    source: str
    reader: ViewFiles | ImageViews | None
    places: dict[str, int]
    missing: int = 0
    first_missing: str = ""

    def open(self, name: str, view: str, photo: Image.Image) -> Image.Image | None:
        """Return the view of a photo, None if it has no file of it.

        Raises:
            UserError: the file is not an image, or not of the photo's size.
        """
        if name not in self.places or self.reader is None:
            return None
        place = self.places[name]
        if isinstance(self.reader, ImageViews):
            return self.reader.read(view, place, (photo.height, photo.width), photo)
        image = self.reader.open(place)
        if image.size != photo.size:
            path, (width, height) = self.reader.path(place), photo.size
            raise UserError(f"{path}: is {image.width}x{image.height}, its photo {name} is {width}x{height}")
        return image


@dataclass
class Sample:
    """A sample of photos, with their objects and views.

    Attributes:
        images: the folder of the photos.
        num_photos: how many there are in all.
        names: those of the sample.
        objects: annotations of each photo of the sample, without crowds, large ones first; None without annotations.
        sizes: the size of each photo of the sample that the annotations say.
        views: the views by name, controls last.
    """

    images: ImageFolder
    num_photos: int
    names: list[str]
    objects: dict[str, list[Json]] | None
    sizes: dict[str, Size]
    views: dict[str, View]


def draw_sample(inspected: Inspected, count: int, seed: int) -> Sample:
    """Draw photos, the same ones for the same names, count and seed.

    Raises:
        UsageError, UserError: as `Inspected.check`; or the annotations cannot be read.
    """
    inspected.check()
    images = open_folder(inspected.images)
    objects: dict[str, list[Json]] | None = None
    sizes: dict[str, Size] = {}
    if inspected.annotations is None:
        every = images.image_names()
        names = _draw(every, count, seed)
    else:
        coco = open_coco(inspected.annotations)
        checks = coco.check_images()
        every = [image["file_name"] for image in coco.images]
        if not every:
            raise UserError(f"{inspected.annotations}: lists no images")
        names = _draw(every, count, seed)
        wanted = {*names}
        drawn = {image["id"]: image for image in coco.images if image["file_name"] in wanted}
        sizes = {image["file_name"]: (image["height"], image["width"]) for image in drawn.values()}
        objects = {name: [] for name in names}
        for annotation in coco.check_annotations(checks):
            if annotation["image_id"] in drawn and not annotation.get("iscrowd", 0):
                objects[drawn[annotation["image_id"]]["file_name"]].append(annotation)
        for found in objects.values():
            found.sort(key=lambda item: -item["bbox"][2] * item["bbox"][3])
    return Sample(images, len(every), names, objects, sizes, _open_views(inspected, images, every, names))


def _draw(names: Sequence[str], count: int, seed: int) -> list[str]:
    order = np.random.default_rng(seed).permutation(len(names))[:count]
    return [names[place] for place in order]


def _open_views(
    inspected: Inspected, images: ImageFolder, every: Sequence[str], names: Sequence[str]
) -> dict[str, View]:
    views: dict[str, View] = {}
    for view, path in inspected.folders.items():
        folder = open_folder(path)
        missing = {name: None for name in every if find_suffix(folder, name) is None}
        there = [name for name in names if name not in missing]
        files = ViewFiles(view, path, there, "--view") if there else None
        places = {name: place for place, name in enumerate(there)}
        views[view] = View(str(path), files, places, len(missing), next(iter(missing), ""))
    reader = ImageViews(images, {}, inspected.seed, every)  # of all photos: a view may borrow from any
    drawn = {*names}
    places = {name: place for place, name in enumerate(every) if name in drawn}
    for view in sorted(inspected.computed, key=lambda name: name in CONTROLS):
        views[view] = View(CONTROL if view in CONTROLS else COMPUTED, reader, places)
    return views


def describe(inspected: Inspected) -> Json:
    """Return what is inspected, for json."""
    annotations = inspected.annotations
    return {"images": say_folders(inspected.images), "annotations": str(annotations) if annotations else None}
