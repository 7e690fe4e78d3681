"""Weights of the views' networks, random, in the layout in which the trained ones are published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

VGG_19 = {0: (3, 3), 2: (3, 64), 5: (64, 64), 9: (64, 128), 12: (128, 128), 16: (128, 256), 19: (256, 256)}
VGG_19 |= {22: (256, 256), 25: (256, 256), 29: (256, 512)}
UNUSED = (32, 35, 38, 42, 45, 48, 51)  # the convolutions of VGG-19 behind relu4_1, which the file holds too
DECODER = {1: (512, 256), 5: (256, 256), 8: (256, 256), 11: (256, 256), 14: (256, 128), 18: (128, 128)}
DECODER |= {21: (128, 64), 25: (64, 64), 28: (64, 3)}
HED = {"One": (64, (0, 2)), "Two": (128, (1, 3)), "Thr": (256, (1, 3, 5)), "Fou": (512, (1, 3, 5))}
HED |= {"Fiv": (512, (1, 3, 5))}


def draw_convolution(random: torch.Generator, inputs: int, outputs: int, side: int, gain: float = 2.0) -> Tensor:
    """Return a kernel whose responses spread as much as its input does, if a ReLU follows."""
    return torch.randn(outputs, inputs, side, side, generator=random) * (gain / (inputs * side * side)) ** 0.5


@pytest.fixture(scope="session")
def style_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `vgg_normalised.pth` and `decoder.pth`."""
    folder, random = tmp_path_factory.mktemp("adain"), torch.Generator().manual_seed(0)
    encoder, decoder = {}, {}
    for number, (inputs, outputs) in VGG_19.items():
        encoder[f"{number}.weight"] = draw_convolution(random, inputs, outputs, 3 if number else 1)
        encoder[f"{number}.bias"] = torch.zeros(outputs)
    for number in UNUSED:
        encoder[f"{number}.weight"] = torch.zeros(1).expand(512, 512, 3, 3)
        encoder[f"{number}.bias"] = torch.zeros(512)
    for number, (inputs, outputs) in DECODER.items():
        decoder[f"{number}.weight"] = draw_convolution(random, inputs, outputs, 3, gain=2.0 if number < 28 else 0.05)
        decoder[f"{number}.bias"] = torch.full((outputs,), 0.0 if number < 28 else 0.5)
    torch.save(encoder, folder / "vgg_normalised.pth")
    torch.save(decoder, folder / "decoder.pth", _use_new_zipfile_serialization=False)  # as published
    return folder


@pytest.fixture(scope="session")
def published_hed() -> dict[str, Tensor]:
    """The weights of the edge detector under their published names."""
    random, weights, inputs = torch.Generator().manual_seed(0), {}, 3
    for stage, (width, places) in HED.items():
        for place in places:
            gain = 2.0 if inputs > 3 else 2.0 / 100**2  # pixels spread by about a hundred
            weights[f"moduleVgg{stage}.{place}.weight"] = draw_convolution(random, inputs, width, 3, gain)
            weights[f"moduleVgg{stage}.{place}.bias"] = torch.zeros(width)
            inputs = width
        weights[f"moduleScore{stage}.weight"] = draw_convolution(random, width, 1, 1)
        weights[f"moduleScore{stage}.bias"] = torch.zeros(1)
    weights["moduleCombine.0.weight"] = torch.full((1, 5, 1, 1), 0.5)
    weights["moduleCombine.0.bias"] = torch.zeros(1)
    return weights


@pytest.fixture(scope="session")
def hed_weights(published_hed: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file `network-bsds500.pytorch`."""
    path = tmp_path_factory.mktemp("hed") / "network-bsds500.pytorch"
    torch.save(published_hed, path, _use_new_zipfile_serialization=False)
    return path
