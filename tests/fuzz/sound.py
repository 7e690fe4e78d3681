"""Sound input, which the cases alter: photos, annotations, proposals, results, a checkpoint of a tiny detector."""

from __future__ import annotations

import base64
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from vclr.catalog.classes import TOY_KNOWN_CLASSES
from vclr.coco.annotations import encode_mask

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "configs" / "small_detector.yaml"
HEIGHT, WIDTH = 40, 60
PHOTOS = ("a.png", "sub/b.jpg", "c.png")
CLASSES = (*TOY_KNOWN_CLASSES, "ring")
TINY_MODEL = {
    "model.num_queries": 8, "model.embed_dim": 16, "model.norm_groups": 4, "model.mask_hidden_dim": 8,
    "model.backbone.stem_out_channels": 4, "model.backbone.res2_out_channels": 4,
    "model.transformer.encoder.num_layers": 1, "model.transformer.decoder.num_layers": 1,
    "model.transformer.encoder.feedforward_dim": 16, "model.transformer.decoder.feedforward_dim": 16,
    "model.transformer.encoder.num_heads": 2, "model.transformer.decoder.num_heads": 2,
    "model.select_box_nums_for_evaluation": 8, "model.criterion.num_points": 16,
}  # fmt: skip
PLAIN = {
    "dataloader.train.mapper.short_edge_length": [HEIGHT], "dataloader.test.mapper.short_edge_length": HEIGHT,
    "dataloader.train.total_batch_size": 1, "dataloader.train.num_workers": 0, "train.device": "cpu",
    "train.num_threads": 1, "tracking.enabled": False, "train.max_iter": 1,
}  # fmt: skip


def write_settings(path: Path) -> Path:
    """Write the configuration of the tiny detector. One file is read much faster than as many overrides."""
    layer = OmegaConf.from_dotlist([f"{key}={value}" for key, value in {**TINY_MODEL, **PLAIN}.items()])
    path.write_text(f"base: {SMALL}\n{OmegaConf.to_yaml(layer)}", encoding="utf-8")
    return path


def photo(seed: int = 0) -> np.ndarray:
    """Return a photo, (h, w, 3) uint8: smooth, so that every codec keeps it, and another one for each seed."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin((x * (1 + (seed + band) % 3) + 2 * y + 9 * seed) / (9 + 3 * band)) for band in range(3)]
    return np.stack([(120 + 100 * wave).astype(np.uint8) for wave in waves], axis=-1)


def write_photos(folder: Path) -> None:
    """Write the photos, `a.png`, `sub/b.jpg` and `c.png`."""
    for number, name in enumerate(PHOTOS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(number)).save(folder / name)


def square(left: int, top: int, side: int) -> np.ndarray:
    """Return an (h, w) uint8 mask of a square."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def coco() -> Json:
    """Return annotations: of polygons, of two in one object, of run lengths of both kinds, of a box, and a crowd."""
    images = [
        {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, "license": 1}
        for number, name in enumerate(PHOTOS, start=1)
    ]
    corners = [4.0, 4.0, 24.0, 4.0, 24.0, 24.0, 4.0, 24.0]
    runs = {"size": [HEIGHT, WIDTH], "counts": [410, 20, 20, 20, HEIGHT * WIDTH - 470]}
    objects: list[tuple[int, list[float], Any, int]] = [
        (1, [4, 4, 20, 20], [corners], 0),
        (1, [30, 5, 20, 30], [[30, 5, 50, 5, 40, 20], [30, 35, 50, 35, 40, 20.5]], 0),
        (2, [10.25, 10, 2, 30], copy.deepcopy(runs), 0),
        (2, [30, 10, 12, 12], encode_mask(square(30, 10, 12)), 0),
        (3, [3, 3, 30, 30], [], 0),
        (3, [0, 0, 60, 40], encode_mask(square(0, 0, 40)), 1),
    ]
    annotations = [
        {
            "id": number, "image_id": image, "category_id": 1 + number % 3, "bbox": box,
            "area": box[2] * box[3], "iscrowd": crowd, "segmentation": shape,
        }
        for number, (image, box, shape, crowd) in enumerate(objects, start=1)
    ]  # fmt: skip
    return {
        "info": {"year": 2026},
        "licenses": [{"id": 1, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)],
    }


def proposals() -> Json:
    """Return object proposals of the photos, each with a score."""
    made = coco()
    for number, annotation in enumerate(made["annotations"]):
        x, y, width, height = annotation["bbox"]
        annotation.update(category_id=1, iscrowd=0, score=0.9 - number / 10, bbox=[x / 2, y + 3, width / 2, height / 2])
        annotation["segmentation"] = encode_mask(square(int(x), int(y), 5))
    return {**made, "categories": [{"id": 1, "name": "object"}]}


def results() -> list[Json]:
    """Return predictions in COCO's format of results."""
    return [
        {
            "image_id": annotation["image_id"], "category_id": 1, "score": 0.9 - number / 10,
            "bbox": annotation["bbox"], "segmentation": encode_mask(square(10, 10, 10 + number)),
        }
        for number, annotation in enumerate(coco()["annotations"])
    ]  # fmt: skip


def labelme(name: str = "a.png") -> Json:
    """Return a file of labelme of the photo: a polygon, a rectangle, a circle, a mask, an object in two parts."""
    picture = io.BytesIO()
    Image.fromarray(square(0, 0, 8)[:8, :8] * 255).save(picture, "PNG")
    mask = base64.b64encode(picture.getvalue()).decode()
    shapes = [
        {"label": "person", "points": [[4, 4], [24, 4], [24, 24.5]], "group_id": None, "shape_type": "polygon"},
        {"label": "car", "points": [[30, 5], [50, 20]], "group_id": None, "shape_type": "rectangle"},
        {"label": "ring", "points": [[40, 30], [44, 30]], "group_id": None, "shape_type": "circle"},
        {"label": "hole", "points": [[2, 30], [9, 37]], "group_id": None, "shape_type": "mask", "mask": mask},
        {"label": "two", "points": [[12, 28], [18, 28], [18, 36]], "group_id": 7, "shape_type": "polygon"},
        {"label": "two", "points": [[20, 28], [26, 28], [26, 36]], "group_id": 7, "shape_type": "polygon"},
    ]
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    return {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None, **size}


def write_json(path: Path, content: Any) -> Path:
    """Write json with all that Python's writer allows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_world(folder: Path) -> None:
    """Write photos, annotations, proposals and results; and beside them what nobody may read or write."""
    write_photos(folder / "images")
    write_json(folder / "sound.json", coco())
    write_json(folder / "proposals.json", proposals())
    write_json(folder / "results.json", results())
    write_settings(folder / "tiny.yaml")
    (folder / "beside").mkdir()
    Image.fromarray(photo(99)).save(folder / "beside" / "secret.png")
    write_json(folder / "beside" / "secret.json", {"secret": 1})


def write_checkpoint(path: Path, configuration: Path) -> Path:
    """Write the checkpoint of a tiny detector that took no step, with the optimizer's moments of one."""
    import torch

    from vclr.config import load_config
    from vclr.engine.state import TrainState

    state = TrainState(load_config(configuration, []), torch.device("cpu"))
    for parameter in state.student.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    state.optimizer.step()
    state.scheduler.step()
    state.iteration = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state.state_dict(), path)
    return path
