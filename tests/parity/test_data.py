"""What the reference does to images and annotations: the same numbers for the same random numbers."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.parity.golden import Arrays, assert_close, load_json
from vclr.config import TrainMapperConfig
from vclr.data.corrupt import erase, grayscale, mix
from vclr.data.objects import Objects
from vclr.data.transforms import Geometry, shortest_edge_size
from vclr.ops.boxes import cxcywh_to_xyxy
from vclr.structures import Size

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1), torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the three generators that the reference draws from."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    yield
    random.setstate(before[0])
    np.random.set_state(before[1])
    torch.set_rng_state(before[2])


# --- corruption, with the reference's own draws ----------------------------------------------------------------------


def sizes_in(images: Tensor) -> list[Size]:
    """The second image is padded with zeros."""
    return [
        (int(image.any(0).any(1).nonzero().max()) + 1, int(image.any(0).any(0).nonzero().max()) + 1) for image in images
    ]


def random_mix(images: Tensor, sizes: list[Size]) -> Tensor:
    images = images.clone()
    for image, (height, width) in zip(images, sizes, strict=True):
        left = int(torch.randint(0, width - width // 8, (1,)))
        top = int(torch.randint(0, height - height // 8, (1,)))
        ratio = float((torch.rand(1) - 0.5).abs() + 0.5)
        image[:, :height, :width] = mix(image[:, :height, :width], top, left, ratio)
    return images


def random_erase(images: Tensor, sizes: list[Size]) -> Tensor:
    images = images.clone()
    for image, (height, width) in zip(images, sizes, strict=True):
        area = random.uniform(0.02, 1 / 3) * height * width
        aspect = math.exp(random.uniform(math.log(0.3), math.log(0.7)))
        box = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if box[0] >= height or box[1] >= width:
            box = height // 2, width // 2
        top, left = random.randint(0, height - box[0]), random.randint(0, width - box[1])
        image[:, :height, :width] = erase(image[:, :height, :width], top, left, *box)
    return images


def random_grayscale(images: Tensor, sizes: list[Size]) -> Tensor:
    return grayscale(images, MEAN, STD) if random.random() > 0.5 else images


def image_transform(images: Tensor, sizes: list[Size]) -> Tensor:
    return random_grayscale(random_erase(random_mix(images, sizes), sizes), sizes)


@pytest.mark.parametrize("transform", [random_mix, random_erase, random_grayscale, image_transform])
def test_corruption(transform):
    golden = Arrays("k_image_transforms.npz")
    images = golden["input"].float()
    assert sizes_in(images) == [(96, 128), (80, 112)]
    for seed in range(6):
        with seeded(seed):
            corrupted = transform(images, sizes_in(images))
        # The file holds its input in half precision.
        assert_close(corrupted[:, :, ::8, ::8], golden[f"{transform.__name__}_{seed}"], 2e-3)


# --- geometry, with the reference's own draws ------------------------------------------------------------------------


def draw_view() -> str:
    third = random.random() * 3
    return "style" if third < 1 else "depth" if third > 2 else "nat"


def draw_geometry(size: Size) -> Geometry:
    """Draw as detectron2's augmentations do, in their order, with the published settings."""
    config = TrainMapperConfig()
    is_plain = np.random.rand() > 0.5
    flip = bool(np.random.uniform() < 0.5)
    crop_size, crop_box = None, (0, 0, *size)
    if not is_plain:
        crop_size = shortest_edge_size(size, int(np.random.choice(config.crop_short_edge_length)), None)
        low, high = config.crop_size
        sides = [int(np.random.randint(min(side, low), min(side, high) + 1)) for side in crop_size]
        corner = [int(np.random.randint(side - crop + 1)) for side, crop in zip(crop_size, sides, strict=True)]
        crop_box = (*corner, *sides)
    short_edge = int(np.random.choice(config.short_edge_length))
    return Geometry(flip, crop_size, crop_box, shortest_edge_size(crop_box[2:], short_edge, config.max_size))


def test_view_and_photo_are_transformed_byte_for_byte():
    golden, records = Arrays("l_mapper.npz"), load_json("l_mapper.json")
    folders = {"style": "style_coco_train2017", "depth": "train2017_depth_cmap", "nat": "train2017"}
    for record in records:
        with seeded(record["seed"]):
            view, geometry = draw_view(), draw_geometry((100, 140))
        assert record["reads"][0].split("/")[-2] == folders[view]
        for name, kind in ((view, "sha_image"), ("nat", "sha_image_rgb")):
            source = Image.fromarray(np.ascontiguousarray(golden[f"view_{name}"].numpy().transpose(1, 2, 0)))
            image = np.asarray(geometry.apply_to_image(source)).transpose(2, 0, 1)
            assert list(image.shape) == record["shape"]
            assert hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() == record[kind]


@pytest.mark.parametrize("kind", ["polygon", "bitmask"])
def test_objects_keep_the_same_boxes_and_masks(kind: str):
    """Among them polygons of two parts, beyond the border, of one pixel, and too thin for any."""
    golden, objects = Arrays("mapper_masks.npz"), load_json("mapper_masks.json")[kind]
    for seed in range(10):
        with seeded(seed):
            draw_view()
            geometry = draw_geometry((100, 140))
        boxes, masks, _ = Objects.from_annotations(objects).move(geometry, (100, 140))
        height, width = golden[f"{kind}{seed}_size"].tolist()
        assert geometry.output_size == (height, width)
        boxes = cxcywh_to_xyxy(boxes.double()) * torch.tensor([width, height, width, height])
        assert_close(boxes, golden[f"{kind}{seed}_boxes"].double(), 1e-6)
        expected = np.unpackbits(golden[f"{kind}{seed}_masks"].numpy(), axis=-1, count=width)
        assert np.array_equal(masks.whole(), expected)
