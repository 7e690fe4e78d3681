"""The decoder of the style view: from features of the encoder back to pixels."""

from __future__ import annotations

from torch import nn

from vclr.views.vgg import WIDTH

UPSAMPLE = 0
LAYERS = (256, UPSAMPLE, 256, 256, 256, 128, UPSAMPLE, 128, 64, UPSAMPLE, 64, 3)  # channels of each convolution


def build_decoder() -> nn.Sequential:
    """Build the decoder, the encoder's mirror image, with the names of the published weights.

    It takes features (b, WIDTH, h, w), h and w 2 or more, and returns RGB pixels (b, 3, 8 h, 8 w), about 0 to 1.
    """
    layers: list[nn.Module] = []
    channels = WIDTH
    for width in LAYERS:
        if width == UPSAMPLE:
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        else:
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, width, 3), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers[:-1])  # the pixels pass no ReLU
