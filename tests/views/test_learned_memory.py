"""Rendering by the views' own networks at scale: memory stays flat, and very large photos pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from vclr.pictures import write_png
from vclr.views import edge_model, style_model
from vclr.views.renderer import Renderer, RenderOptions
from vclr.views.textures import draw_texture

MEGABYTE = 1 << 20


@pytest.fixture(params=["style", "edge"])
def open_small(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], Renderer]:
    if request.param == "edge":
        weights = request.getfixturevalue("hed_weights")
        return lambda size: edge_model.open_renderer(RenderOptions(weights=weights, max_size=size, device="cpu"))
    weights = request.getfixturevalue("style_weights")
    for number in range(40):
        write_png(tmp_path / f"{number}.png", draw_texture(np.random.default_rng(number))[: 20 + number, :32])
    options = RenderOptions(weights=weights, styles=tmp_path, device="cpu")
    return lambda size: style_model.open_renderer(RenderOptions(**{**vars(options), "max_size": size}))


@pytest.mark.slow
def test_memory_stays_flat_over_500_photos(open_small: Callable[[int], Renderer]) -> None:
    renderer, random, process = open_small(20), np.random.default_rng(0), psutil.Process()
    used = []
    for number in range(500):
        image = random.integers(0, 256, (*random.integers(20, 60, 2), 3), np.uint8)
        renderer.render([image], [str(number)])
        used.append(process.memory_info().rss)
    assert max(used[250:]) - max(used[:250]) < 20 * MEGABYTE


@pytest.mark.slow
def test_photos_of_8000x6000_and_20x20_pass(open_small: Callable[[int], Renderer]) -> None:
    large = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), 100, 0), 100, 1)
    renderer = open_small(32)
    for image in (large, large[:20, :20]):
        shown = renderer.render([image], ["a"])[0].pixels
        assert shown.shape == image.shape
        assert shown.std() > 0
