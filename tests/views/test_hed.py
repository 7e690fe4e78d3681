"""The edge detector: the network of the paper, read from the published names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vclr.errors import UsageError, UserError
from vclr.views.edge_model import open_renderer
from vclr.views.hed import EdgeDetector, rename_published
from vclr.views.renderer import RenderOptions

WIDTHS = {"One": 64, "Two": 128, "Thr": 256, "Fou": 512, "Fiv": 512}


def restate(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The network, from the weights under their published names."""
    mean = torch.tensor([104.00698793, 116.66876762, 122.67891434])
    x = pixels[:, [2, 1, 0]] - mean.view(1, 3, 1, 1)
    votes = []
    for stage, places in [("One", (0, 2)), ("Two", (1, 3)), ("Thr", (1, 3, 5)), ("Fou", (1, 3, 5)), ("Fiv", (1, 3, 5))]:
        if stage != "One":
            x = F.max_pool2d(x, 2)
        for place in places:
            name = f"moduleVgg{stage}.{place}"
            x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
        vote = F.conv2d(x, weights[f"moduleScore{stage}.weight"], weights[f"moduleScore{stage}.bias"])
        votes.append(F.interpolate(vote, pixels.shape[-2:], mode="bilinear", align_corners=False))
    fused = sum(weights["moduleCombine.0.weight"][0, number] * vote for number, vote in enumerate(votes))
    return 1 / (1 + torch.exp(-(fused + weights["moduleCombine.0.bias"])))


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 50)])
@torch.inference_mode()
def test_the_network_is_the_published_one(published_hed: dict[str, Tensor], height: int, width: int) -> None:
    network = EdgeDetector()
    network.load_state_dict({rename_published(key): value for key, value in published_hed.items()})
    pixels = 255 * torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    found = network(pixels)
    assert found.shape == (2, 1, height, width)
    assert torch.allclose(found, restate(published_hed, pixels), atol=1e-5)
    assert float(found.std()) > 0.05  # the weights say something


def test_both_spellings_of_the_published_names_are_read(published_hed: dict[str, Tensor]) -> None:
    own = list(EdgeDetector().state_dict())
    assert sorted(map(rename_published, published_hed)) == sorted(own)
    assert sorted(rename_published(key.replace("module", "net")) for key in published_hed) == sorted(own)
    assert rename_published("transformer.weight") == "transformer.weight"


# --- the view --------------------------------------------------------------------------------------------------------


def render(options: RenderOptions, image: np.ndarray) -> np.ndarray:
    return open_renderer(options).render([image], ["a"])[0].pixels


@pytest.fixture
def options(hed_weights: Path) -> RenderOptions:
    return RenderOptions(weights=hed_weights, device="cpu")


@torch.inference_mode()
def test_the_view_shows_what_the_detector_finds(options: RenderOptions, published_hed: dict[str, Tensor]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (45, 60, 3), np.uint8)
    padded = np.pad(image, ((0, 3), (0, 4), (0, 0)), mode="edge")
    expected = restate(published_hed, torch.from_numpy(padded).permute(2, 0, 1)[None].float())[0, 0, :45, :60]
    shown = render(options, image)
    assert (shown == shown[..., :1]).all()
    assert np.abs(shown[..., 0] - 255 * expected.numpy()).max() <= 0.51


@pytest.mark.parametrize("size", [(20, 20), (1, 1), (3, 200), (33, 57), (64, 48), (70, 100)])
def test_a_view_has_the_size_of_its_photo(options: RenderOptions, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    shown = render(replace(options, max_size=64), image)
    assert shown.shape == image.shape
    assert shown.dtype == np.uint8


def test_misuse_is_one_line(options: RenderOptions, hed_weights: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pytorch"
    cut.write_bytes(hed_weights.read_bytes()[:90_000])
    shape = tmp_path / "shape.pytorch"
    torch.save(torch.load(hed_weights) | {"moduleScoreTwo.weight": torch.zeros(1, 64, 1, 1)}, shape)
    for change, error, message in [
        ({"weights": None, "model": "hed"}, UsageError, "--model hed: needs --weights FILE"),
        ({"weights": tmp_path / "network.pytorch"}, UserError, r"network\.pytorch: no such file"),
        ({"weights": cut}, UserError, r"cut\.pytorch: is not a checkpoint"),
        ({"weights": shape}, UserError, r"its weight scores\.1\.weight is 1x64x1x1, not 1x128x1x1"),
        ({"alpha": 0.5}, UsageError, "--alpha: view edge does not use it; leave it out"),
        ({"model": "canny"}, UsageError, "--model canny: the view edge is computed, or made by hed"),
    ]:
        with pytest.raises(error, match=message):
            open_renderer(replace(options, **change))
