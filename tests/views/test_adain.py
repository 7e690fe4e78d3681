"""AdaIN: its formula, the statistics that it moves, and the networks around it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vclr.views.adain import adain, channel_statistics
from vclr.views.style_decoder import build_decoder
from vclr.views.vgg import WIDTH, build_encoder


def features(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = 0.5 + torch.rand(shape[0], shape[1], 1, 1, generator=generator)
    return scale * torch.randn(shape, generator=generator) + 3 * scale


def restate(content: Tensor, style: Tensor, alpha: float) -> Tensor:
    """AdaIN in double precision, channel by channel."""
    result = content.double().clone()
    for photo in range(content.shape[0]):
        for channel in range(content.shape[1]):
            x, y = content[photo, channel].double(), style[photo, channel].double()
            x_variance = ((x - x.sum() / x.numel()) ** 2).sum() / (x.numel() - 1)
            y_variance = ((y - y.sum() / y.numel()) ** 2).sum() / (y.numel() - 1)
            moved = (x - x.mean()) / (x_variance + 1e-5) ** 0.5 * (y_variance + 1e-5) ** 0.5 + y.mean()
            result[photo, channel] = alpha * moved + (1 - alpha) * x
    return result


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_adain_is_its_formula(alpha: float) -> None:
    content, style = features(0, 2, 5, 7, 9), features(1, 2, 5, 4, 6)
    result = adain(content, channel_statistics(style), alpha)
    assert torch.allclose(result.double(), restate(content, style, alpha), atol=1e-4)


def test_alpha_goes_from_the_contents_statistics_to_the_styles() -> None:
    content, style = features(0, 2, 8, 16, 12), features(1, 2, 8, 10, 11)
    styled = channel_statistics(adain(content, channel_statistics(style), 1.0))
    for found, wanted in zip(styled, channel_statistics(style), strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(adain(content, channel_statistics(style), 0.0), content)


def test_a_flat_channel_takes_the_mean_of_the_style() -> None:
    style = features(1, 1, 3, 8, 8)
    result = adain(torch.full((1, 3, 8, 8), 7.0), channel_statistics(style))
    assert torch.allclose(result, channel_statistics(style).mean.expand_as(result), atol=1e-4)


def test_the_networks_have_the_published_names() -> None:
    encoder, decoder = build_encoder(), build_decoder()
    of_encoder = [0, 2, 5, 9, 12, 16, 19, 22, 25, 29]
    assert list(encoder.state_dict()) == [f"{number}.{kind}" for number in of_encoder for kind in ("weight", "bias")]
    of_decoder = [1, 5, 8, 11, 14, 18, 21, 25, 28]
    assert list(decoder.state_dict()) == [f"{number}.{kind}" for number in of_decoder for kind in ("weight", "bias")]
    assert isinstance(encoder[-1], nn.ReLU)
    assert len(encoder) == 31


@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 37), (9, 24)])
@torch.inference_mode()
def test_a_feature_stands_for_eight_pixels(height: int, width: int) -> None:
    encoded = build_encoder()(torch.rand(1, 3, height, width))
    assert encoded.shape == (1, WIDTH, -(-height // 8), -(-width // 8))
    assert build_decoder()(encoded).shape == (1, 3, 8 * encoded.shape[2], 8 * encoded.shape[3])
