"""The edge detector: the network of the paper, read from the published names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vclr.views.hed import EdgeDetector, rename_published

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
    assert 0.05 < float(found.std())  # the weights say something


def test_both_spellings_of_the_published_names_are_read(published_hed: dict[str, Tensor]) -> None:
    own = list(EdgeDetector().state_dict())
    assert sorted(map(rename_published, published_hed)) == sorted(own)
    assert sorted(rename_published(key.replace("module", "net")) for key in published_hed) == sorted(own)
    assert rename_published("transformer.weight") == "transformer.weight"
