"""The training mapper in its most obvious form, with which the loader of the package is compared.

It follows the mappers of detectron2 and the reference: annotations are dictionaries, images are arrays between the
steps, shapely cuts each polygon, pycocotools rasterizes each object to a mask of the full size, and batches are
float32. Like the reference, it reads and transforms the natural photo in addition to the chosen view; with
`reads_photo_once` it does not if the view is the photo. It draws the same random numbers as the package, so both make
the same samples.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import torch
from PIL import Image, ImageOps
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vclr.coco.annotations import load_coco
from vclr.config import Config
from vclr.data.sampler import EpochSampler
from vclr.data.transforms import Geometry, draw_training_geometry
from vclr.views.choice import view_weights


@dataclass
class StraightforwardBatch:
    """A batch of padded images in float32 and each image's objects."""

    images: Tensor
    natural: Tensor
    boxes: list[Tensor]
    masks: list[Tensor]
    views: list[str]


class StraightforwardSamples(Dataset[dict[str, Any]]):
    """The training set as a list of dictionaries."""

    def __init__(self, config: Config, reads_photo_once: bool = False) -> None:
        data_set = config.data.train
        coco = load_coco(data_set.annotations, data_set.images)
        objects: dict[int, list[dict[str, Any]]] = {}
        for annotation in coco["annotations"]:
            if not annotation.get("iscrowd", 0):
                objects.setdefault(annotation["image_id"], []).append(annotation)
        self.records = [
            {**image, "annotations": objects[image["id"]]} for image in coco["images"] if image["id"] in objects
        ]
        weights = view_weights(config.views, data_set)
        self.views = list(weights)
        self.probabilities = np.array(list(weights.values())) / sum(weights.values())
        self.folders = {"natural": Path(data_set.images)} | {view: Path(path) for view, path in data_set.views.items()}
        self.mapper, self.seed, self.reads_photo_once = (
            config.dataloader.train.mapper,
            config.train.seed,
            reads_photo_once,
        )

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Make the sample of (epoch, index)."""
        epoch, index = key
        generator = np.random.default_rng([self.seed, epoch, index])
        record = copy.deepcopy(self.records[index])
        view = self.views[int(generator.choice(len(self.views), p=self.probabilities))]
        photo = self.folders["natural"] / record["file_name"]
        path = photo if view == "natural" else (self.folders[view] / record["file_name"]).with_suffix(".png")
        image = read_image(path)
        geometry = draw_training_geometry(self.mapper, image.shape[:2], generator)
        shown = transform_image(image, geometry)
        natural = shown
        if not self.reads_photo_once or view != "natural":
            natural = transform_image(read_image(photo), geometry)
        boxes, masks = transform_objects(record["annotations"], geometry, image.shape[:2])
        height, width = shown.shape[:2]
        boxes = torch.as_tensor(boxes)
        centers = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1)
        return {
            "image": torch.as_tensor(np.ascontiguousarray(shown.transpose(2, 0, 1))),
            "natural": torch.as_tensor(np.ascontiguousarray(natural.transpose(2, 0, 1))),
            "boxes": (centers / torch.tensor([width, height, width, height])).float(),
            "masks": torch.stack(masks) if masks else torch.zeros(0, height, width, dtype=torch.uint8),
            "view": view,
        }


def read_image(path: Path) -> np.ndarray:
    """Read an image as (h, w, 3) uint8 RGB."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def transform_image(image: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Flip, resize and crop, then resize; the image is an array after each step."""
    if geometry.flip:
        image = np.flip(image, axis=1)
    if geometry.crop_size is not None:
        top, left, height, width = geometry.crop_box
        image = resize(image, geometry.crop_size)[top : top + height, left : left + width]
    return resize(image, geometry.output_size)


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (h, w, 3) uint8 as detectron2's ResizeTransform does."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size[::-1], Image.Resampling.BILINEAR))


def transform_objects(
    annotations: list[dict[str, Any]], geometry: Geometry, size: tuple[int, int]
) -> tuple[np.ndarray, list[Tensor]]:
    """Transform boxes (xyxy) and masks; leave out objects outside the crop."""
    boxes, masks = [], []
    for annotation in annotations:
        x, y, width, height = annotation["bbox"]
        box = geometry.apply_to_boxes(np.array([[x, y, x + width, y + height]], dtype=np.float64), size)[0]
        if (box[2:] - box[:2] <= 1e-5).any():
            continue
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, dict):
            mask = transform_mask(decode(segmentation), geometry)
            if not mask.any():
                continue
        else:
            polygons = [part for polygon in segmentation for part in transform_polygon(polygon, geometry, size)]
            if not polygons:
                continue
            rle = coco_mask.merge(
                coco_mask.frPyObjects([part.ravel().tolist() for part in polygons], *geometry.output_size)
            )
            mask = coco_mask.decode(rle)
        boxes.append(box)
        masks.append(torch.from_numpy(np.array(mask, order="C")))
    return np.array(boxes).reshape(-1, 4), masks


def transform_polygon(polygon: list[float], geometry: Geometry, size: tuple[int, int]) -> list[np.ndarray]:
    """Transform a polygon and cut it to the crop; return the points (k, 2) of each part."""
    points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    height, width = size
    if geometry.flip:
        points[:, 0] = width - points[:, 0]
    parts = [points]
    if geometry.crop_size is not None:
        points *= np.array(geometry.crop_size[::-1]) / (width, height)
        top, left, height, width = geometry.crop_box
        shape = shapely.Polygon(points)
        if not shape.is_valid:
            shape = shapely.make_valid(shape)
        cut = shapely.get_parts(shape.intersection(shapely.box(left, top, left + width, top + height)))
        areas = [part for part in cut if isinstance(part, shapely.Polygon) and not part.is_empty]
        parts = [np.asarray(part.exterior.coords)[:-1] - (left, top) for part in areas]
    return [part * (np.array(geometry.output_size[::-1]) / (width, height)) for part in parts]


def decode(segmentation: dict[str, Any]) -> np.ndarray:
    """Decode run lengths, compressed or not."""
    if isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *segmentation["size"])
    return coco_mask.decode(segmentation)


def transform_mask(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Transform (h, w) uint8 by the nearest pixel."""
    if geometry.flip:
        mask = np.flip(mask, axis=1)
    if geometry.crop_size is not None:
        top, left, height, width = geometry.crop_box
        mask = resize_mask(mask, geometry.crop_size)[top : top + height, left : left + width]
    return resize_mask(mask, geometry.output_size)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(mask)).resize(size[::-1], Image.Resampling.NEAREST))


def collate(samples: list[dict[str, Any]]) -> StraightforwardBatch:
    """Pad to one float32 batch."""
    return StraightforwardBatch(
        pad([sample["image"] for sample in samples]),
        pad([sample["natural"] for sample in samples]),
        [sample["boxes"] for sample in samples],
        [sample["masks"] for sample in samples],
        [sample["view"] for sample in samples],
    )


def pad(images: list[Tensor]) -> Tensor:
    """Pad (3, h, w) bottom and right with zeros; (b, 3, h, w) float32."""
    height, width = max(image.shape[1] for image in images), max(image.shape[2] for image in images)
    batch = torch.zeros(len(images), 3, height, width)
    for slot, image in zip(batch, images, strict=True):
        slot[:, : image.shape[1], : image.shape[2]] = image
    return batch


def straightforward_loader(config: Config, samples: StraightforwardSamples) -> DataLoader[StraightforwardBatch]:
    """Return an endless loader in the package's order."""
    loader = config.dataloader.train
    sizes = np.array([(record["height"], record["width"]) for record in samples.records])
    kinds = sizes[:, 1] > sizes[:, 0] if loader.aspect_ratio_grouping else None
    order = EpochSampler(len(samples), loader.total_batch_size, config.train.seed, 0, kinds, loader.group_size)
    return DataLoader(
        samples,  # type: ignore[arg-type]
        batch_sampler=order,  # type: ignore[arg-type]
        num_workers=loader.num_workers,
        collate_fn=collate,
        worker_init_fn=one_thread,
    )


def one_thread(_: int) -> None:
    """Use one thread, as the package's workers do."""
    torch.set_num_threads(1)
