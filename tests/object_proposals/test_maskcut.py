"""MaskCut finds what a dense eigen-decomposition finds, finds objects, and does not depend on batches or shards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from skimage.color import rgb2lab

from benchmarks.dense_maskcut import cut_densely
from tests.object_proposals.tiny_vits import make_vit, make_vit_s8, save_vit
from tests.shared import PHOTOS
from vclr.coco.annotations import load_coco
from vclr.generate.toy import render_scene
from vclr.object_proposals.affinity import find_affine
from vclr.object_proposals.maskcut import Features, MaskCut, open_proposer
from vclr.object_proposals.options import MethodOptions
from vclr.object_proposals.patch_keys import PatchKeys
from vclr.object_proposals.repeated_cut import MAX_FRACTION, MIN_FRACTION, cut_repeatedly
from vclr.object_proposals.write import join_proposals, write_proposals
from vclr.pictures import write_png
from vclr.shards import Shard

GRID = 32  # of the simple features
needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED")


def color_and_position(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Return random Fourier features, whose cosine falls with the distance in Lab color and position."""
    generator = torch.Generator().manual_seed(0)
    frequencies = torch.randn(5, 256, generator=generator, dtype=torch.float64)
    features = []
    for image in images:
        small = np.asarray(Image.fromarray(image).resize((GRID, GRID), Image.Resampling.BOX))
        places = np.stack(np.mgrid[:GRID, :GRID], axis=-1) / GRID
        inputs = np.concatenate([rgb2lab(small) / 15, places / 0.25], axis=-1).reshape(-1, 5)
        phases = torch.from_numpy(inputs) @ frequencies
        features.append(torch.cat([phases.cos(), phases.sin()], dim=1).float())
    return torch.stack(features)


def simple_maskcut() -> MaskCut:
    return MaskCut(color_and_position, (GRID, GRID), tau=0.3)


def pairwise_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    flat, other = first.reshape(len(first), -1).astype(float), second.reshape(len(second), -1).astype(float)
    shared = flat @ other.T
    return shared / np.maximum(flat.sum(axis=1)[:, None] + other.sum(axis=1) - shared, 1)  # type: ignore[no-any-return]


def average_recall(masks: np.ndarray, objects: np.ndarray) -> list[float]:
    """Return, for each object, the share of the thresholds 0.5, 0.55, ... 0.95 at which it is found."""
    best = pairwise_iou(masks, objects).max(axis=0, initial=0)
    return [float(np.mean(iou >= np.arange(0.5, 1, 0.05))) for iou in best]


def as_boxes(masks: np.ndarray) -> np.ndarray:
    boxes = np.zeros_like(masks)
    for mask, box in zip(masks, boxes, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return boxes


def random_boxes(rng: np.random.Generator, objects: np.ndarray, count: int) -> np.ndarray:
    """Return boxes at random places, each of the size of some object of the photo."""
    height, width = objects.shape[1:]
    boxes = np.zeros((count, height, width), bool)
    for box in boxes:
        (like,) = as_boxes(objects[rng.integers(len(objects))][None])
        rows, columns = int(like.any(axis=1).sum()), int(like.any(axis=0).sum())
        top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
        box[top : top + rows, left : left + columns] = True
    return boxes


def test_objects_of_toy_scenes_are_found_with_simple_features() -> None:
    """Box AR@10 on twelve scenes is 0.4; of random boxes that know the sizes of the objects, 0.1 or less."""
    method, rng = simple_maskcut(), np.random.default_rng(0)
    found, by_chance = [], []
    for index in range(4):
        scene = render_scene(2, index, "val")
        objects = as_boxes(np.stack([item.mask for item in scene.objects]))
        ((masks, _),) = method.propose([scene.natural], [""])
        assert len(masks) <= 10
        found += average_recall(as_boxes(masks), objects)
        by_chance += average_recall(random_boxes(rng, objects, 10), objects)
    assert np.mean(found) >= 2 * np.mean(by_chance)
    assert np.mean(found) > 0.3


def compare_with_dense(features_of: Features, side: int, count: int, rounds: int = 3) -> list[float]:
    """Return, for each object that a dense decomposition finds in photos, the IoU of ours."""
    ious = []
    for path in sorted((PHOTOS / "images").iterdir())[:count]:
        features = features_of([np.asarray(Image.open(path).convert("RGB"))])
        ((masks, _),) = cut_repeatedly(find_affine(features), (side, side), rounds)
        objects = cut_densely(features[0].double().numpy(), side, rounds)
        kept = [found for found in objects if MIN_FRACTION <= found.mean() <= MAX_FRACTION]
        ious += pairwise_iou(masks, np.stack(kept)).max(axis=0, initial=0).tolist()
    return ious


@needs_photos
def test_the_objects_are_those_of_a_dense_decomposition() -> None:
    assert np.median(compare_with_dense(color_and_position, GRID, count=4)) >= 0.99


@pytest.mark.slow
@needs_photos
def test_at_the_published_size_the_objects_are_those_of_a_dense_decomposition() -> None:
    keys = PatchKeys(make_vit_s8().bfloat16(), None, "vit", batch_size=1)
    assert np.median(compare_with_dense(keys, keys.grid[0], count=1, rounds=2)) >= 0.99


def test_proposals_are_ranked_and_a_batch_equals_its_photos() -> None:
    method = simple_maskcut()
    images = [render_scene(0, index, "train", size).natural for index, size in enumerate((64, 96))]
    together = method.propose(images, ["", ""])
    for image, (masks, scores) in zip(images, together, strict=True):
        assert masks.dtype == bool
        assert masks.shape == (len(scores), *image.shape[:2])
        assert len(masks) > 0
        assert (np.diff(scores) <= 0).all()
        assert ((scores > 0) & (scores < 1)).all()
        ((alone, of_alone),) = method.propose([image], [""])
        assert np.array_equal(alone, masks)
        assert np.array_equal(of_alone, scores)


def test_a_blank_photo_holds_no_object() -> None:
    same = MaskCut(lambda images: torch.ones(len(images), 64, 4), (8, 8))
    ((masks, scores),) = same.propose([np.full((30, 40, 3), 128, np.uint8)], [""])
    assert masks.shape == (0, 30, 40)
    assert scores.shape == (0,)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_vit(tmp_path_factory.mktemp("models") / "vit"))


def test_shards_joined_are_the_bytes_of_one_job(model: str, tmp_path: Path) -> None:
    for index in range(3):
        write_png(tmp_path / "images" / f"scene{index}.png", render_scene(0, index, "train", 64).natural)
    options = MethodOptions(model=model, device="cpu", batch_size=2, max_proposals=4)

    def write(name: str, shard: Shard | None = None, options: MethodOptions = options) -> Path:
        return write_proposals("maskcut", tmp_path / "images", tmp_path / name, None, True, shard, options)

    whole = write("whole.json")
    parts = [write(f"{number}.json", Shard(number, 2)) for number in (1, 2)]
    assert join_proposals(parts, tmp_path / "joined.json").read_bytes() == whole.read_bytes()
    coco = load_coco(whole)
    assert [image["file_name"] for image in coco["images"]] == [f"scene{index}.png" for index in range(3)]
    assert coco["annotations"]
    info = json.loads(whole.read_text())["info"]
    assert (info["method"], info["model"], len(info["sha256"])) == ("maskcut", "vit", 64)


@pytest.mark.parametrize("size", [(20, 20), (6000, 8000)])
def test_small_and_huge_photos_pass(size: tuple[int, int], model: str) -> None:
    method = open_proposer(MethodOptions(model=model, device="cpu", max_proposals=1))
    scene = Image.fromarray(render_scene(0, 1, "train", 64).natural).resize(size[::-1])
    ((masks, scores),) = method.propose([np.asarray(scene)], [""])
    assert masks.shape == (len(scores), *size)


@pytest.mark.slow
def test_memory_stays_flat_over_500_photos() -> None:
    keys = PatchKeys(make_vit("vit"), None, "vit", batch_size=1, grid=16)  # few patches, so that they take seconds
    method = MaskCut(keys, keys.grid, rounds=2)
    used = []
    for index in range(500):
        method.propose([render_scene(0, index % 5, "train", 64).natural], [""])
        used.append(psutil.Process().memory_info().rss)
    assert used[-1] - used[50] < 16 << 20
