"""Inference: a photo alone and in a batch gives the same objects, in its own pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vclr
from vclr.coco.annotations import load_coco, rasterize
from vclr.config import load_config
from vclr.data import samples
from vclr.device import float32_precision, uses_tf32
from vclr.evaluation.inference import predict, predict_samples, to_coco_results
from vclr.files import write_json
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.structures import Predictions

CONFIG = load_config(Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml", ["model.num_queries=30"])


@pytest.fixture(scope="module")
def model() -> Detector:
    return build_model(CONFIG).eval()


def draw_photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(64, 96), (61, 47), (1, 1), (5, 200)], ids=str)
def test_predictions_are_in_the_photos_own_pixels(model: Detector, size: tuple[int, int]):
    found = predict(model, draw_photo(*size), short_edge=64, max_size=128)
    height, width = size
    assert found.boxes.shape == (len(found), 4)
    assert found.masks.shape == (len(found), height, width)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.masks.dtype == bool
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [width, height, width, height]).all()
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores > 0) & (found.scores < 1)).all()


def test_predict_is_part_of_the_interface(model: Detector):
    found = vclr.predict(model, draw_photo(40, 40), short_edge=None)
    assert isinstance(found, Predictions)


def test_without_resizing_the_photo_enters_as_it_is(model: Detector):
    photo = draw_photo(70, 50)
    unresized, same = predict(model, photo, short_edge=None), predict(model, photo, short_edge=50, max_size=70)
    np.testing.assert_array_equal(unresized.boxes, same.boxes)


def test_tf32_is_forbidden_meanwhile(model: Detector):
    """Also in the middle of a training that computes in it, and goes on to."""
    seen = []
    hook = model.register_forward_pre_hook(lambda *_: seen.append(uses_tf32() or torch.backends.cudnn.allow_tf32))
    with float32_precision(tf32=True):
        predict(model, draw_photo(40, 40), short_edge=None)
        assert uses_tf32()
    hook.remove()
    assert seen == [False]


def test_training_mode_is_put_back(model: Detector):
    model.train()
    predict(model, draw_photo(40, 40), short_edge=None)
    assert model.training
    model.eval()


def test_images_of_one_size_do_not_touch_in_a_batch(model: Detector):
    photos = [Image.fromarray(draw_photo(64, 80, seed)) for seed in range(3)]
    batch = [samples.make_test_sample(photo, CONFIG.dataloader.test.mapper) for photo in photos]
    for together, sample in zip(predict_samples(model, batch), batch, strict=True):
        alone = predict_samples(model, [sample])[0]
        assert len(alone) == len(together)
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-2)
        assert (together.masks == alone.masks).mean() > 0.999


def test_results_are_coco_results(tmp_path: Path):
    masks = np.zeros((2, 9, 12), bool)
    masks[0, 2:5, 3:9] = True
    boxes = np.array([[3, 2, 9, 5], [0, 0, 1.5, 2]], np.float32)
    results = to_coco_results(Predictions(boxes, np.array([0.9, 0.1], np.float32), masks), image_id=7)
    write_json(tmp_path / "results.json", results)
    assert [result["bbox"] for result in results] == [[3, 2, 6, 3], [0, 0, 1.5, 2]]
    assert {(result["image_id"], result["category_id"]) for result in results} == {(7, 1)}
    for result, mask in zip(results, masks, strict=True):
        assert (rasterize(result, 9, 12) == mask).all()
    image = {"id": 7, "file_name": "a.png", "height": 9, "width": 12}
    annotations = [{**result, "id": number} for number, result in enumerate(results)]
    write_json(tmp_path / "coco.json", {"images": [image], "annotations": annotations})
    assert load_coco(tmp_path / "coco.json")["annotations"] == annotations
