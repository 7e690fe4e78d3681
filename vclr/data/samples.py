"""Samples: one image of a data set with its view, geometry and objects, ready to be batched."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vclr.coco import Json, bbox_corners, load_coco, outlines, select, to_mask
from vclr.config import Config, DataSetConfig, TestMapperConfig
from vclr.data.catalog import missing_files, test_set, training_set
from vclr.data.proposals import add_proposals
from vclr.data.transforms import Geometry, draw_training_geometry, test_geometry
from vclr.data.views import ViewReader
from vclr.errors import UserError
from vclr.files import read_image
from vclr.ops.boxes import xyxy_to_cxcywh
from vclr.structures import Size, Target

log = logging.getLogger("vclr.data")

# An object whose box has a side of at most this many pixels after the geometry is dropped.
MIN_BOX_SIDE = 1e-5


@dataclass
class Sample:
    """A training image. `image` and `natural` are (3, h, w) uint8, `view` names what `image` shows."""

    image: Tensor
    natural: Tensor
    target: Target
    view: str


@dataclass
class TestSample:
    """An image to be evaluated: (3, h, w) uint8, its id, and its (height, width) on disk."""

    image: Tensor
    image_id: int
    original_size: tuple[int, int]


class TrainingSamples(Dataset[Sample]):
    """The training set. What is drawn for a sample depends on seed, epoch and index alone, not on worker or history."""

    def __init__(self, config: Config) -> None:
        data_set = training_set(config)
        coco = _load(data_set, "train", config.dataloader.train.dataset.filter_empty)
        if data_set.proposals:
            coco = add_proposals(coco, data_set.proposals, config.proposals.top_k, config.proposals.max_iou)
        self.images: list[Json] = coco["images"]
        self.folder = Path(data_set.images)
        self.objects = _objects_by_image(coco)
        self.mapper = config.dataloader.train.mapper
        self.views = ViewReader(data_set, config.views, [image["file_name"] for image in self.images])
        self.seed = config.train.seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> Sample:  # type: ignore[override]
        """Make the sample of (epoch, index)."""
        epoch, index = key
        generator = np.random.default_rng([self.seed, epoch, index])
        image = self.images[index]
        photo = _read_photo(self.folder, image)
        view = self.views.draw(generator)
        geometry = draw_training_geometry(self.mapper, photo.shape[:2], generator)
        natural = _to_tensor(geometry.apply_to_image(photo))
        chosen = self.views.read(view, image["file_name"], photo)
        shown = natural if chosen is photo else _to_tensor(geometry.apply_to_image(chosen))
        return Sample(shown, natural, _make_target(image, self.objects.get(image["id"], []), geometry), view)


class TestSamples(Dataset[TestSample]):
    """The evaluated set, in the order of its json."""

    def __init__(self, config: Config) -> None:
        data_set = test_set(config)
        if data_set.views:
            log.warning("data.test.views: evaluation reads photos, not views")
        self.coco = _load(data_set, "test", config.dataloader.test.dataset.filter_empty)
        self.folder = Path(data_set.images)
        self.mapper = config.dataloader.test.mapper

    def __len__(self) -> int:
        return len(self.coco["images"])

    def __getitem__(self, index: int) -> TestSample:
        """Read the image at `index`."""
        image = self.coco["images"][index]
        return make_test_sample(_read_photo(self.folder, image), self.mapper, image["id"])


def make_test_sample(photo: np.ndarray, mapper: TestMapperConfig, image_id: int = 0) -> TestSample:
    """Resize a photo (h, w, 3) uint8 as evaluation does."""
    size = (photo.shape[0], photo.shape[1])
    return TestSample(_to_tensor(test_geometry(mapper, size).apply_to_image(photo)), image_id, size)


def _load(data_set: DataSetConfig, part: str, filter_empty: bool) -> Json:
    if problem := missing_files(data_set, part):
        raise UserError(problem)
    coco = load_coco(data_set.annotations, data_set.images)
    kept = select(coco, lambda annotation: not annotation.get("iscrowd", 0), filter_empty) if part == "train" else coco
    if part == "test" and filter_empty:
        kept = select(coco, lambda annotation: True)
    if not kept["images"]:
        raise UserError(f"{data_set.annotations}: holds no image with an object")
    return kept


def _objects_by_image(coco: Json) -> dict[int, list[Json]]:
    objects: dict[int, list[Json]] = {}
    for annotation in coco["annotations"]:
        objects.setdefault(annotation["image_id"], []).append(annotation)
    return objects


def _read_photo(folder: Path, image: Json) -> np.ndarray:
    photo = read_image(folder / image["file_name"])
    if photo.shape[:2] != (image["height"], image["width"]):
        raise UserError(
            f"{folder / image['file_name']}: is {photo.shape[1]}x{photo.shape[0]}, "
            f"its entry (id {image['id']}) says {image['width']}x{image['height']}"
        )
    return photo


def _make_target(image: Json, objects: list[Json], geometry: Geometry) -> Target:
    """Transform an image's objects; those that the crop left nothing of are dropped."""
    size = image["height"], image["width"]
    height, width = geometry.output_size
    corners = np.array([bbox_corners(item["bbox"]) for item in objects], dtype=np.float64).reshape(-1, 4)
    boxes = geometry.apply_to_boxes(corners, size)
    has_size = (boxes[:, 2:] - boxes[:, :2] > MIN_BOX_SIDE).all(1)
    masks, kept = [], []
    for number, item in enumerate(objects):
        mask = _transform_mask(item, geometry, size) if has_size[number] else None
        if mask is not None:
            masks.append(mask)
            kept.append(number)
    sides = torch.tensor([width, height, width, height], dtype=torch.float64)
    normalized = xyxy_to_cxcywh(torch.from_numpy(boxes[kept])) / sides
    return Target(
        labels=torch.zeros(len(kept), dtype=torch.int64),
        boxes=normalized.float(),
        masks=torch.from_numpy(np.stack(masks) if masks else np.zeros((0, height, width), np.uint8)),
        image_id=image["id"],
    )


def _transform_mask(item: Json, geometry: Geometry, size: Size) -> np.ndarray | None:
    """Return an object's mask after the geometry; None where nothing of the object is left.

    Polygons move as they are and are rasterized then, so a thin object stays, even where its mask is empty.
    """
    polygons = outlines(item)
    if polygons is None:
        mask = geometry.apply_to_mask(to_mask(item["segmentation"], *size))
        return mask if mask.any() else None
    moved = [part for polygon in polygons for part in geometry.apply_to_polygon(polygon, size)]
    return to_mask([part.ravel().tolist() for part in moved], *geometry.output_size) if moved else None


def _to_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())
