"""Samples: one image of a data set with its view, geometry and objects, ready to be batched."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vclr.catalog.losses import teacher_losses
from vclr.catalog.views import NATURAL
from vclr.coco.annotations import open_checked
from vclr.config import Config, DataSetConfig, TestMapperConfig
from vclr.data.annotations import load_objects
from vclr.data.data_sets import may_have_masks, missing_files, test_set, training_set
from vclr.data.images import ImageList
from vclr.data.masks import ObjectMasks
from vclr.data.objects import Objects
from vclr.data.photos_only import say_photos_only
from vclr.data.transforms import draw_training_geometry, test_geometry
from vclr.errors import UserError
from vclr.splits.with_proposals import no_proposals
from vclr.structures import Target
from vclr.views.cost import say_costs
from vclr.views.draws import Draw
from vclr.views.missing import say_missing
from vclr.views.reader import ImageViews, ViewReader

log = logging.getLogger("vclr.data")
OF_TEACHER = 1  # in the seed of the teacher's draws; it must not be 0, which means the same as no number


@dataclass
class Sample:
    """A training image.

    `image` and `teacher_image` are (3, h, w) uint8. `view` and `teacher_view` name what they show, and `missing_view`
    and `teacher_missing_view` the view that was drawn if the photo has no file of it. Without a teacher, the names of
    its views are empty.
    """

    image: Tensor
    teacher_image: Tensor
    target: Target
    view: str
    missing_view: str = ""
    teacher_view: str = ""
    teacher_missing_view: str = ""


@dataclass
class PackedSample:
    """A training image in the compact form that a worker sends.

    Attributes:
        image: (3, h, w) uint8.
        teacher_image: (3, h, w) uint8, what the teacher sees; `image` itself if that is the same view, or if no loss
            needs the teacher.
        boxes: (n, 4) float32 cxcywh normalized.
        masks: the masks of the same objects.
        image_id: the image's id in its annotations json.
        view: the name of the view in `image`.
        is_proposal: (n,) bool, which objects are object proposals.
        missing_view: the name of the view that was drawn, if the photo has no file of it.
        teacher_view: the name of the view in `teacher_image`; empty if no loss needs the teacher.
        teacher_missing_view: the same as `missing_view`, of the teacher's draw.
    """

    image: np.ndarray
    teacher_image: np.ndarray
    boxes: np.ndarray
    masks: ObjectMasks
    image_id: int
    view: str
    is_proposal: np.ndarray
    missing_view: str = ""
    teacher_view: str = ""
    teacher_missing_view: str = ""

    def unpack(self) -> Sample:
        """Return the sample with whole masks; only its images share memory with this one."""
        image = torch.from_numpy(self.image)
        teacher_image = image if self.teacher_image is self.image else torch.from_numpy(self.teacher_image)
        target = Target(
            labels=torch.zeros(len(self.boxes), dtype=torch.int64),
            boxes=torch.from_numpy(self.boxes).clone(),
            masks=torch.from_numpy(self.masks.whole()),
            image_id=self.image_id,
            is_proposal=torch.from_numpy(self.is_proposal).clone(),
        )
        return Sample(
            image,
            teacher_image,
            target,
            self.view,
            self.missing_view,
            self.teacher_view,
            self.teacher_missing_view,
        )


@dataclass
class TestSample:
    """An image to be evaluated: (3, h, w) uint8, its id, and its (height, width) on disk."""

    image: Tensor
    image_id: int
    original_size: tuple[int, int]


class TrainingSamples(Dataset[Sample]):
    """The training set. A sample's random numbers depend on seed, epoch and index alone, not on worker or history."""

    def __init__(self, config: Config) -> None:
        data_set = training_set(config)
        if problem := missing_files(data_set, "train"):
            raise UserError(problem)
        if said := say_photos_only(config, data_set):
            log.warning("%s", said)
        filter_empty = config.dataloader.train.dataset.filter_empty
        entries, self.objects = load_objects(data_set, filter_empty, config.proposals)
        if apart := config.model.criterion.tells_apart():
            _refuse_one_kind(apart, self.objects, data_set)
        self.images = ImageList(data_set.images, entries)
        self.mapper = config.dataloader.train.mapper
        self.views = ViewReader(data_set, config.views, self.images.file_names)
        for view, count in self.views.count_missing().items():
            log.warning("%s", say_missing(view, count, len(self.images), config.views.missing))
        self.has_teacher_losses = bool(teacher_losses(vars(config.model.criterion.weight_dict)))
        self.seed = config.train.seed

    def say_costs(self) -> str | None:
        """Describe the computed views that take long, measured on the first photo; None if none does."""
        views = [view for view in self.views.names if view != NATURAL and view not in self.views.files]
        return say_costs(views, np.asarray(self.images.open(0)), self.seed) if views else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> Sample:  # type: ignore[override]
        """Make the sample of (epoch, index)."""
        return self.draw(*key).unpack()

    def draw(self, epoch: int, index: int) -> PackedSample:
        """Make the sample at `index` for an epoch."""
        generator = np.random.default_rng([self.seed, epoch, index])
        size = self.images.size(index)
        view, missing = self.views.student.draw(generator, index)
        geometry = draw_training_geometry(self.mapper, size, generator)
        teacher_view, teacher_missing = self._draw_for_teacher(epoch, index)
        read = [view] if teacher_view in ("", view) else [view, teacher_view]
        photo = self.images.open(index) if any(self.views.needs_photo(one, index) for one in read) else None
        shown = [_to_array(geometry.apply_to_image(self.views.read(one, index, size, photo))) for one in read]
        boxes, masks, is_proposal = self.objects[index].move(geometry, size)
        return PackedSample(
            shown[0],
            shown[-1],
            boxes.numpy(),
            masks,
            self.images.ids[index],
            view,
            is_proposal,
            missing,
            teacher_view,
            teacher_missing,
        )

    def _draw_for_teacher(self, epoch: int, index: int) -> Draw:
        """Draw the teacher's view, with a generator of its own: what the student sees does not depend on this draw."""
        if not self.has_teacher_losses:
            return Draw("")
        if self.views.teacher.names == [NATURAL]:
            return Draw(NATURAL)
        return self.views.teacher.draw(np.random.default_rng([self.seed, epoch, index, OF_TEACHER]), index)


def _refuse_one_kind(setting: str, objects: Sequence[Objects], data_set: DataSetConfig) -> None:
    """Refuse a setting that tells annotations and object proposals apart, if all objects are of one kind.

    Without annotations, two losses would even train every query as background in one of them.
    """
    if not any(of_image.is_proposal.any() for of_image in objects):
        raise no_proposals(setting, data_set)
    if all(of_image.is_proposal.all() for of_image in objects):
        raise UserError(
            f"{setting}: {data_set.annotations} holds object proposals alone; name annotations without a `score` too"
        )


class TestSamples(Dataset[TestSample]):
    """The evaluated set, in the order of its json."""

    view = NATURAL  # what the samples show

    def __init__(self, config: Config) -> None:
        data_set = test_set(config)
        if problem := missing_files(data_set, "test"):
            raise UserError(problem)
        self.coco = open_checked(data_set.annotations, data_set.images)
        if config.dataloader.test.dataset.filter_empty:
            objects = (one for one in self.coco.read_annotations() if not one.get("iscrowd", 0))
            not_empty = {annotation["image_id"] for annotation in objects}
            self.coco.head["images"] = [image for image in self.coco.images if image["id"] in not_empty]
        if not self.coco.images:
            raise UserError(f"{data_set.annotations}: holds no image with an object")
        self.images = ImageList(data_set.images, self.coco.images)
        self.views = ImageViews(self.images.folder, {}, config.views.seed, self.images.file_names)
        self.mapper = config.dataloader.test.mapper
        self._may_have_masks = may_have_masks(config)

    def has_masks(self) -> bool:
        """Tell whether masks are evaluated on this set."""
        return self._may_have_masks and any(one.get("segmentation") for one in self.coco.read_annotations())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> TestSample:
        """Read the image at `index`."""
        photo = self.images.open(index) if self.views.needs_photo(self.view, index) else None
        shown = self.views.read(self.view, index, self.images.size(index), photo)
        return make_test_sample(shown, self.mapper, self.images.ids[index])

    @property
    def source(self) -> str:
        """Where the samples come from: `photos`, `computed`, or the folder of the view."""
        files = self.views.files.get(self.view)
        return str(files.folder.path) if files else "photos" if self.view == NATURAL else "computed"

    def in_view(self, view: str, folder: str = "", key: str = "data.test.views") -> TestSamples:
        """Return the same images in another view: computed, or the files of a folder, which errors call `KEY.VIEW`.

        Raises:
            UserError: images have no file in the folder; says how many and the first.
        """
        shown = copy.copy(self)
        shown.view = view
        folders = {view: folder} if folder else {}
        shown.views = ImageViews(self.images.folder, folders, self.views.seed, self.images.file_names, key)
        return shown


def make_test_sample(photo: Image.Image, mapper: TestMapperConfig, image_id: int = 0) -> TestSample:
    """Resize a photo as evaluation does."""
    size = photo.height, photo.width
    resized = test_geometry(mapper, size).apply_to_image(photo)
    return TestSample(torch.from_numpy(_to_array(resized)), image_id, size)


def _to_array(image: Image.Image) -> np.ndarray:
    """Return an image as (3, h, w) uint8. Band by band is the shortest way."""
    array = np.empty((3, image.height, image.width), np.uint8)
    for plane, band in zip(array, image.split(), strict=True):
        plane[:] = np.asarray(band)
    return array
