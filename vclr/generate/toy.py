"""The toy world: scenes of shapes that pose the question of the paper, written as a COCO data set with its views.

In the training scenes, objects share an appearance: known shapes are warm and stand on cold backgrounds. A detector
that sees only natural pictures may learn "warm" instead of "object". Novel shapes have any color and textures of their
own, so in evaluation this shortcut does not find them. Two true views break it: depth, known from the layering, and
style, the same geometry under other textures of any color.

| scenes | objects | background |
|---|---|---|
| train | known, warm; in some scenes also novel ones, of any color, behind them | cold |
| val, even numbers | known, warm, as in training: for the recall on known classes | cold |
| val, odd numbers | novel, of any color: for the recall on novel classes | any |

Each scene depends only on (seed, split, number), and its geometry does not depend on its colors. The pixels are the
same on every machine: see `toy_shapes` and `toy_textures` for the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vclr.coco.annotations import encode_mask
from vclr.errors import UsageError
from vclr.files import atomic_folder, write_json, write_manifest
from vclr.generate.toy_shapes import KNOWN_SHAPES, NOVEL_SHAPES, SHAPES, Pose, draw_turn, stamp
from vclr.generate.toy_textures import PATTERNS, Texture, between, draw_texture
from vclr.pictures import write_png
from vclr.progress import track

# The difficulty: the looks of known and novel objects.
UNANNOTATED_FRACTION = 0.2  # of the training scenes hold novel objects, which the split of known classes drops
NUM_UNANNOTATED = (1, 3)  # novel objects in such a scene
Look = tuple[Sequence[str], str]  # patterns and hues to draw from
KNOWN_LOOK: Look = ("plain", "stripes", "checkerboard", "dots", "gradient"), "warm"
NOVEL_LOOK: Look = ("wood", "zigzag", "bricks", "plaid", "facets"), "any"
BACKGROUND_PATTERNS = ("plain", "clouds", "stripes", "checkerboard", "dots", "gradient")
TRAIN_GROUND: Look = BACKGROUND_PATTERNS, "cold"
NOVEL_GROUND: Look = BACKGROUND_PATTERNS, "any"
ANY_LOOK: Look = tuple(PATTERNS), "any"

# The composition; lengths are fractions of the image's side.
NUM_OBJECTS = (3, 10)
RADIUS = (0.075, 0.28)
OBJECT_PERIOD, BACKGROUND_PERIOD = 0.08, 0.13
MIN_VISIBLE = 0.4  # of an object's area
MIN_PIXELS = 40
MAX_ATTEMPTS = 50  # to place an object so that it and those behind it stay visible

SUPERSAMPLING = 2
NOISE, DEPTH_NOISE = 5, 1  # each of two dice of the pixel noise shows -NOISE to NOISE
SPLITS = ("train", "val")
VIEWS = ("depth", "style")

CATEGORIES: list[dict[str, Any]] = [
    {"id": number, "name": name, "supercategory": "known" if name in KNOWN_SHAPES else "novel"}
    for number, name in enumerate(SHAPES, start=1)
]
CATEGORY_IDS = {category["name"]: category["id"] for category in CATEGORIES}

# The samples of one region: their positions in the flattened map, and their x and y in pixels.
Region = tuple[np.ndarray, np.ndarray, np.ndarray]


def _depth_colors(*corners: tuple[int, int, int], steps: int = 256) -> np.ndarray:
    """Interpolate between colors; (steps * (number of corners - 1) + 1, 3) uint8."""
    share = (np.arange(steps) / steps)[:, None]
    pieces = [np.array(a) * (1.0 - share) + np.array(b) * share for a, b in pairwise(corners)]
    return (np.concatenate([*pieces, np.array(corners[-1:])]) + 0.5).astype(np.uint8)


# From far and dark to near and bright; neither end is warm.
DEPTH_COLORS = _depth_colors((38, 14, 66), (48, 66, 136), (34, 134, 138), (102, 196, 92), (252, 238, 120))


@dataclass(frozen=True)
class SceneObject:
    """One object: the id of its category and its visible part, an (h, w) bool mask."""

    category_id: int
    mask: np.ndarray


@dataclass(frozen=True)
class Scene:
    """One scene: three (h, w, 3) uint8 pictures of one geometry, and its objects from back to front."""

    natural: np.ndarray
    depth: np.ndarray
    style: np.ndarray
    objects: list[SceneObject]


def render_scene(seed: int, index: int, split: str, size: int = 128) -> Scene:
    """Render scene number `index` of a split ("train" or "val") at `size` x `size` pixels."""
    geometry, natural, style, depth = _streams(seed, index, split)
    names = _draw_names(geometry, index, split)
    poses, labels = _lay_out(geometry, names, size)
    samples = np.zeros((size * SUPERSAMPLING, size * SUPERSAMPLING), np.uint8)
    for label, pose in enumerate(poses, start=1):
        stamp(samples, pose, label, SUPERSAMPLING)
    regions = _regions(samples, len(poses) + 1)
    ground = NOVEL_GROUND if all(pose.shape in NOVEL_SHAPES for pose in poses) else TRAIN_GROUND
    looks = [KNOWN_LOOK if pose.shape in KNOWN_SHAPES else NOVEL_LOOK for pose in poses]
    return Scene(
        natural=_paint(natural, regions, _dress(natural, poses, ground, looks, size), size),
        depth=_paint_depth(depth, regions, poses, size),
        style=_paint(style, regions, _dress(style, poses, ANY_LOOK, [ANY_LOOK] * len(poses), size), size),
        objects=[SceneObject(CATEGORY_IDS[pose.shape], labels == label) for label, pose in enumerate(poses, start=1)],
    )


def _streams(seed: int, index: int, split: str) -> list[np.random.Generator]:
    """Return one source of randomness each for the geometry and the three pictures."""
    entropy = [[seed, SPLITS.index(split), index, stream] for stream in range(4)]
    return [np.random.Generator(np.random.PCG64(np.random.SeedSequence(numbers))) for numbers in entropy]


def _draw_names(rng: np.random.Generator, index: int, split: str) -> list[str]:
    """Draw the shape classes of a scene, from back to front."""

    def draw(shapes: dict[str, Any], count: int) -> list[str]:
        names = list(shapes)
        return [names[int(rng.integers(len(names)))] for _ in range(count)]

    count = int(rng.integers(NUM_OBJECTS[0], NUM_OBJECTS[1] + 1))
    if split == "val":
        return draw(NOVEL_SHAPES if index % 2 else KNOWN_SHAPES, count)
    hidden = int(rng.integers(NUM_UNANNOTATED[0], NUM_UNANNOTATED[1] + 1))
    if rng.random() >= UNANNOTATED_FRACTION:
        hidden = 0
    hidden = min(hidden, count - 1)
    return draw(NOVEL_SHAPES, hidden) + draw(KNOWN_SHAPES, count - hidden)


def _draw_pose(rng: np.random.Generator, name: str, size: int) -> Pose:
    share = rng.random() * between(rng, 0.3, 1.0)  # more small ones than large
    radius = size * (RADIUS[0] + (RADIUS[1] - RADIUS[0]) * share)
    margin = 0.6 * radius
    return Pose(
        shape=name,
        x=between(rng, margin, size - margin),
        y=between(rng, margin, size - margin),
        radius=radius,
        turn=draw_turn(rng),
        squeeze=between(rng, 0.85, 1.0),
    )


def _lay_out(rng: np.random.Generator, names: list[str], size: int) -> tuple[list[Pose], np.ndarray]:
    """Place objects from back to front; an object that fits nowhere is left out.

    Returns:
        The objects, and the (size, size) label of each pixel: 0 background, k the k-th object.
    """
    poses: list[Pose] = []
    areas = np.zeros(1)
    labels = np.zeros((size, size), np.uint8)
    for name in names:
        for _ in range(MAX_ATTEMPTS):
            pose = _draw_pose(rng, name, size)
            attempt = labels.copy()
            attempt_areas = np.append(areas, stamp(attempt, pose, len(poses) + 1))
            visible = np.bincount(attempt.ravel(), minlength=len(attempt_areas))
            if (visible[1:] >= np.maximum(MIN_VISIBLE * attempt_areas[1:], MIN_PIXELS)).all():
                poses, areas, labels = [*poses, pose], attempt_areas, attempt
                break
    return poses, labels


def _dress(rng: np.random.Generator, poses: list[Pose], ground: Look, looks: list[Look], size: int) -> list[Texture]:
    """Draw the texture of the background, then of each object, which stands out from those that it may touch."""
    textures = [draw_texture(rng, *ground, size * BACKGROUND_PERIOD)]
    for pose, look in zip(poses, looks, strict=True):
        touching = (texture for other, texture in zip(poses, textures[1:], strict=False) if pose.may_touch(other))
        around = [textures[0], *touching]
        textures.append(draw_texture(rng, *look, size * OBJECT_PERIOD, (pose.x, pose.y), around))
    return textures


def _regions(samples: np.ndarray, count: int) -> list[Region]:
    """Return the samples of each of `count` labels of an (h * s, w * s) map."""
    flat = samples.ravel()
    regions = []
    for label in range(count):
        positions = np.flatnonzero(flat == label)
        row, column = positions // samples.shape[1], positions % samples.shape[1]
        regions.append((positions, (column + 0.5) / SUPERSAMPLING, (row + 0.5) / SUPERSAMPLING))
    return regions


def _paint(rng: np.random.Generator, regions: list[Region], textures: list[Texture], size: int) -> np.ndarray:
    """Paint each region in its texture; (size, size, 3) uint8."""
    colors = np.empty(((size * SUPERSAMPLING) ** 2, 3), np.uint8)
    for (positions, x, y), texture in zip(regions, textures, strict=True):
        colors[positions] = (texture.paint(x, y) + 0.5).astype(np.uint8)
    return _finish(rng, colors, size, NOISE)


def _paint_depth(rng: np.random.Generator, regions: list[Region], poses: list[Pose], size: int) -> np.ndarray:
    """Paint the nearness of each region: a sloped ground, and one step toward the viewer for each object."""
    step = 0.6 / len(poses)
    nearness = np.empty((size * SUPERSAMPLING) ** 2)
    (positions, x, y), *objects = regions
    nearness[positions] = 0.06 + 0.2 * (y / size) + between(rng, -0.1, 0.1) * (x / size - 0.5)
    for layer, ((positions, x, y), pose) in enumerate(zip(objects, poses, strict=True)):
        across, along = pose.to_local(x, y)
        tilt = between(rng, -0.2, 0.2) * step
        bulge = 0.3 * step * (1.0 - 0.5 * (across * across + along * along))
        nearness[positions] = 0.4 + step * layer + tilt * across + bulge
    colors = DEPTH_COLORS[(np.clip(nearness, 0.0, 1.0) * (len(DEPTH_COLORS) - 1)).astype(np.int64)]
    return _finish(rng, colors, size, DEPTH_NOISE)


def _finish(rng: np.random.Generator, colors: np.ndarray, size: int, noise: int) -> np.ndarray:
    """Average the (size * size * s * s, 3) uint8 samples in integers and add noise; (size, size, 3) uint8."""
    samples = colors.reshape(size * SUPERSAMPLING, size * SUPERSAMPLING, 3)
    pixels = np.full((size, size, 3), SUPERSAMPLING * SUPERSAMPLING // 2, np.int64)
    for row in range(SUPERSAMPLING):
        for column in range(SUPERSAMPLING):
            pixels += samples[row::SUPERSAMPLING, column::SUPERSAMPLING]
    pixels //= SUPERSAMPLING * SUPERSAMPLING
    pixels += rng.integers(-noise, noise + 1, pixels.shape) + rng.integers(-noise, noise + 1, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_toy_world(
    root: str | Path, seed: int = 0, num_train: int = 600, num_val: int = 150, size: int = 128, quiet: bool = False
) -> None:
    """Write the toy world below `root`, each of its three folders whole or not at all.

    Writes `raw/toy/annotations_train.json`, `annotations_val.json` and `images/`, `views/toy/depth/` and
    `views/toy/style/` with the same file names, and a manifest in each of the three folders. The training json holds
    the novel objects too, as COCO has all of its classes; a split drops them.

    Raises:
        UsageError: a number is out of range.
    """
    for name, value, least in (("seed", seed, 0), ("num_train", num_train, 1), ("num_val", num_val, 2)):
        if value < least:
            raise UsageError(f"toy world: {name} is {value}, needs to be at least {least}")
    if size < 64:
        raise UsageError(f"toy world: size is {size}, needs to be at least 64")
    facts = {"seed": seed, "num_train": num_train, "num_val": num_val, "size": size}
    folders = {"natural": Path(root, "raw", "toy"), **{view: Path(root, "views", "toy", view) for view in VIEWS}}
    with ExitStack() as stack:
        partial = {view: stack.enter_context(atomic_folder(folder)) for view, folder in folders.items()}
        pictures = {**partial, "natural": partial["natural"] / "images"}
        pictures["natural"].mkdir()
        for split, count in zip(SPLITS, (num_train, num_val), strict=True):
            coco = _write_split(pictures, seed, split, count, size, quiet)
            write_json(partial["natural"] / f"annotations_{split}.json", coco)
        for view, folder in partial.items():
            files = [path for path in folder.rglob("*") if path.is_file()]
            write_manifest(folder, files, generator="toy", view=view, **facts)


def _write_split(
    pictures: dict[str, Path], seed: int, split: str, count: int, size: int, quiet: bool
) -> dict[str, Any]:
    """Write the pictures of a split into a folder for each view and return its COCO json."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in track(range(count), f"toy world, {split}", quiet):
        scene = render_scene(seed, index, split, size)
        name = f"{split}_{index:05d}.png"
        for view, folder in pictures.items():
            write_png(folder / name, getattr(scene, view))
        images.append({"id": index + 1, "file_name": name, "width": size, "height": size})
        for item in scene.objects:
            annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **_annotate(item)})
    info = {"description": f"vclr toy world, {split}", "seed": seed}
    return {"info": info, "images": images, "annotations": annotations, "categories": CATEGORIES}


def _annotate(item: SceneObject) -> dict[str, Any]:
    rows, columns = np.flatnonzero(item.mask.any(axis=1)), np.flatnonzero(item.mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "category_id": item.category_id,
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "area": int(np.count_nonzero(item.mask)),
        "iscrowd": 0,
        "segmentation": encode_mask(item.mask),
    }
