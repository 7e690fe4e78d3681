"""The encoder of the style view: the first layers of a normalized VGG-19, up to `relu4_1`."""

from __future__ import annotations

from torch import nn

STRIDE = 8  # pixels per feature
WIDTH = 512  # channels of a feature
POOL = 0
LAYERS = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, 256, POOL, 512)  # channels of each convolution


def build_encoder() -> nn.Sequential:
    """Build the encoder, with the names of the published weights: the number of each layer.

    It takes RGB pixels (b, 3, h, w) from 0 to 1; its first layer makes of them what VGG was trained on (BGR from 0 to
    255, without the mean). It returns (b, WIDTH, ceil(h / 8), ceil(w / 8)). Reflected borders replace VGG's zeros, so h
    and w must be 9 or more.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    channels = 3
    for width in LAYERS:
        if width == POOL:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        else:
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, width, 3), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)
