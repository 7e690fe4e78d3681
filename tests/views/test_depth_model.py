"""Depth: signs, geometry and 16 bits, with tiny models of three kinds that go through the real path."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from vclr.catalog.depth_models import DEPTH_KINDS, DEPTH_MODELS, INVERSE, METRIC
from vclr.catalog.views import DEPTH, PRODUCERS
from vclr.errors import UsageError, UserError
from vclr.pictures import read_numbers, write_png

pytest.importorskip("transformers", reason="needs transformers")

from tests.tiny_models import DEPTH_MODELS as TINY  # noqa: E402
from tests.tiny_models import save_depth_anything  # noqa: E402
from vclr.pretrained import Pretrained  # noqa: E402
from vclr.views import depth_model  # noqa: E402
from vclr.views.depth_model import (  # noqa: E402
    WHOLE_INPUT,
    DepthRenderer,
    Region,
    find_window,
    open_renderer,
    restore,
    shrink,
    store,
    to_inverse,
)
from vclr.views.renderer import RenderOptions  # noqa: E402

SIZES = [(48, 70), (70, 48), (20, 20), (1, 1), (37, 300)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: save(folder / name) for name, save in TINY.items()}


def open_tiny(folder: Path, **options: Any) -> DepthRenderer:
    return open_renderer(RenderOptions(model=str(folder), **{"dtype": "float32", "device": "cpu", **options}))


def photos(sizes: list[tuple[int, int]] = SIZES) -> list[np.ndarray]:
    return [np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8) for number, size in enumerate(sizes)]


def test_each_producer_has_a_model() -> None:
    assert PRODUCERS[DEPTH].keys() == DEPTH_MODELS.keys() == TINY.keys()


@pytest.mark.parametrize("name", TINY)
def test_a_batch_gives_what_single_photos_give(name: str, models: dict[str, Path]) -> None:
    renderer, images = open_tiny(models[name]), photos()
    together = renderer.render(images, [str(number) for number in range(len(images))])
    for image, one in zip(images, together, strict=True):
        [alone] = renderer.render([image], ["0"])
        assert one.pixels.shape == image.shape[:2] and one.pixels.dtype == np.uint16
        assert np.abs(one.pixels.astype(int) - alone.pixels).max() <= 2, "of 65535"
        [again] = renderer.render([image], ["0"])
        assert np.array_equal(alone.pixels, again.pixels) and alone.facts == again.facts


@pytest.mark.parametrize(("name", "sign"), [("depth-anything", 1), ("zoedepth", -1), ("dpt", 1)])
def test_what_is_stored_is_nearness(name: str, sign: int, models: dict[str, Path]) -> None:
    """What the model calls farthest is darkest, whichever way round its values are."""
    renderer = open_tiny(models[name])
    [image] = photos([(64, 64)])
    [values] = renderer.estimate([shrink(image)])
    [shown] = renderer.render([image], ["a"])
    left, top, right, bottom = renderer._find_region((64, 64))
    height, width = values.shape
    box = (left * width, top * height, right * width, bottom * height)
    same = np.asarray(Image.fromarray(values).resize((64, 64), Image.Resampling.BILINEAR, box=box))
    assert sign * np.corrcoef(same.ravel(), shown.pixels.ravel())[0, 1] > 0.9


def test_signs_of_a_ramp() -> None:
    meters = np.linspace(1, 10, 50, dtype=np.float32)[None].repeat(4, 0)  # the right is far
    for kind, values in [(METRIC, meters), (INVERSE, 1 / meters)]:
        inverse = to_inverse(values, kind)
        assert (np.diff(inverse) < 0).all()
        levels = store(inverse, WHOLE_INPUT, inverse.shape).pixels
        assert levels[0, 0] == 65535 and levels[0, -1] == 0 and (np.diff(levels.astype(int)) <= 0).all()
    assert np.isfinite(to_inverse(np.array([[0.0, 1.0]], np.float32), METRIC)).all()


def test_kinds_are_data(models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {name: open_tiny(folder).facts["depth_kind"] for name, folder in models.items()}
    assert kinds == {"depth-anything": INVERSE, "zoedepth": METRIC, "dpt": INVERSE}
    metric = save_depth_anything(tmp_path / "metric", depth_estimation_type="metric", max_depth=20)
    assert open_tiny(metric).facts["depth_kind"] == METRIC
    assert open_tiny(metric, depth_kind=INVERSE).facts["depth_kind"] == INVERSE
    monkeypatch.setattr(depth_model, "KINDS_OF_TYPES", {})
    with pytest.raises(UsageError, match=r"dpt: is not known to give inverse depth or distance; say --depth-kind KIND"):
        open_tiny(models["dpt"])
    with pytest.raises(UsageError, match=f"--depth-kind far: must be {' or '.join(DEPTH_KINDS)}"):
        open_tiny(models["dpt"], depth_kind="far")
    with pytest.raises(UsageError, match="--alpha: view depth does not use it"):
        open_tiny(models["dpt"], alpha=0.5)


# --- geometry ---------------------------------------------------------------------------------------------------------


class Echo:
    """A model whose depth is the first channel of its input: what it returns is where the photo was."""

    dtype, device = torch.float32, torch.device("cpu")

    def __call__(self, pixel_values: torch.Tensor) -> Any:
        return type("Output", (), {"predicted_depth": pixel_values[:, 0] + 10})()


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("size", [(96, 128), (131, 57), (301, 203)])
def test_depth_lies_where_the_photo_is(name: str, size: tuple[int, int], models: dict[str, Path]) -> None:
    """A gradient of the photo comes back within what the model's input resolves, through resizing and padding."""
    height, width = size
    for axis in (0, 1):
        ramp = np.linspace(0, 255, size[axis])
        plane = ramp[:, None].repeat(width, 1) if axis == 0 else ramp[None].repeat(height, 0)
        image = plane[..., None].repeat(3, 2).round().astype(np.uint8)
        echo = DepthRenderer(Pretrained(Echo(), open_tiny(models[name]).processor, {}), INVERSE, 1)
        [shown] = echo.render([image], ["a"])
        line = restore(shown.pixels, *shown.facts["inverse_depth"]).mean(axis=1 - axis)
        expected = 10 + _normalized(echo, ramp)
        inner = slice(size[axis] // 8, size[axis] - size[axis] // 8)  # beside what the window cuts off
        shift = (line - expected)[inner] / (expected[1] - expected[0])  # pixels of the photo
        pixel_of_input = max(1, size[axis] / 56)
        assert np.abs(shift).max() < 0.6 * pixel_of_input
        assert abs(shift.mean()) < 0.1 * pixel_of_input


def _normalized(renderer: DepthRenderer, values: np.ndarray) -> np.ndarray:
    processor = renderer.processor
    return (values / 255 - processor.image_mean[0]) / processor.image_std[0]


def test_margins_are_cut_off() -> None:
    inverse = np.zeros((40, 60), np.float32)
    inverse[10:30, 15:45] = np.linspace(1, 2, 30)
    levels = store(inverse, Region(0.25, 0.25, 0.75, 0.75), (20, 30)).pixels
    assert levels[:, -1].min() == 65535 and np.diff(levels[5].astype(int)).min() >= 0


def test_strips_are_seamless(monkeypatch: pytest.MonkeyPatch) -> None:
    inverse = np.random.default_rng(0).random((30, 40), np.float32)
    region = Region(0.1, 0.07, 0.93, 0.88)
    whole = store(inverse, region, (333, 217)).pixels
    monkeypatch.setattr(depth_model, "STRIP", 50)
    assert np.abs(store(inverse, region, (333, 217)).pixels.astype(int) - whole).max() <= 2


def test_large_and_long_photos_are_shrunk_and_small_ones_enlarged() -> None:
    for size, expected in [
        ((480, 640), (640, 480)),
        ((6000, 8000), (1536, 1152)),
        ((20, 20), (32, 32)),
        ((1, 1), (32, 32)),
        ((30, 6000), (1536, 384)),
        ((6000, 30), (384, 1536)),
    ]:
        assert shrink(np.zeros((*size, 3), np.uint8)).size == expected


# --- 16 bits ----------------------------------------------------------------------------------------------------------


def test_values_come_back_from_16_bits(tmp_path: Path) -> None:
    inverse = np.random.default_rng(0).random((40, 50)).astype(np.float32) * 7 - 3
    shown = store(inverse, WHOLE_INPUT, (40, 50))
    write_png(tmp_path / "a.png", shown.pixels, texts=shown.texts)
    levels = read_numbers(tmp_path / "a.png")
    assert np.array_equal(levels, shown.pixels)
    low, high = shown.facts["inverse_depth"]
    assert np.allclose((low, high), np.percentile(inverse, (2, 98)))
    with Image.open(tmp_path / "a.png") as image:
        assert tuple(map(float, image.info["Inverse depth"].split())) == (low, high)
    assert np.abs(restore(levels, low, high) - np.clip(inverse, low, high)).max() <= (high - low) / 65535
    assert [round((levels == end).mean(), 2) for end in (0, 65535)] == [0.02, 0.02]


def test_a_constant_and_a_nearly_constant_map() -> None:
    flat = np.full((9, 9), 3.5, np.float32)
    shown = store(flat, WHOLE_INPUT, (9, 9))
    assert not shown.pixels.any() and shown.facts["inverse_depth"] == [3.5, 3.5]
    assert (restore(shown.pixels, 3.5, 3.5) == 3.5).all()
    flat[4, 4] = 5
    assert find_window(flat) == (3.5, 5.0)


def test_a_depth_that_is_not_finite_is_the_photos_fault(models: dict[str, Path]) -> None:
    renderer = open_tiny(models["dpt"])
    with torch.no_grad():
        next(iter(renderer.model.head.parameters())).fill_(float("nan"))
    with pytest.raises(UserError, match="a: the model's depth is not finite"):
        renderer.render(photos([(48, 70)]), ["a"])


def test_a_broken_gpu_is_no_photos_fault(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = open_tiny(models["dpt"])
    for says, error in [("CUDA error: an illegal memory access", RuntimeError), ("wrong shapes", UserError)]:
        monkeypatch.setattr(renderer, "estimate", Mock(side_effect=RuntimeError(says)))
        with pytest.raises(error, match=says):
            renderer.render(photos([(48, 70)]), ["a"])


def test_bfloat16_keeps_the_resolution_of_16_bits(models: dict[str, Path]) -> None:
    [image] = photos([(200, 300)])
    [exact], [rough] = (open_tiny(models["dpt"], dtype=name).render([image], ["a"]) for name in ("float32", "bfloat16"))
    assert np.corrcoef(exact.pixels.ravel(), rough.pixels.ravel())[0, 1] > 0.99
    assert len(np.unique(rough.pixels)) > 2000
    assert open_tiny(models["dpt"], dtype="bfloat16").facts["dtype"] == "bfloat16"


@pytest.mark.slow
def test_memory_stays_flat_over_500_photos(models: dict[str, Path]) -> None:
    renderer, random, process = open_tiny(models["depth-anything"]), np.random.default_rng(0), psutil.Process()
    used = []
    for number in range(500):
        image = random.integers(0, 256, (*random.integers(20, 300, 2), 3), np.uint8)
        renderer.render([image], [str(number)])
        used.append(process.memory_info().rss)
    assert max(used[250:]) - max(used[:250]) < 20 << 20
