"""Holistically-nested edge detection: a VGG-16 whose five stages each vote for the edges (Xie & Tu, 2015)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN_BLUE_GREEN_RED = (104.00698793, 116.66876762, 122.67891434)  # of the photos that VGG was trained on
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels of each convolution
STRIDE = 16  # pixels per place of the last stage

# The published names of the stages, in order, and the prefixes of names: those of the file, and of its later loader.
PUBLISHED_STAGES = ("One", "Two", "Thr", "Fou", "Fiv")
PUBLISHED_PREFIXES = ("module", "net")


class EdgeDetector(nn.Module):
    """Give each pixel of a photo the probability that an edge runs through it."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_build_stage(number) for number in range(len(STAGES)))
        self.scores = nn.ModuleList(nn.Conv2d(widths[-1], 1, 1) for widths in STAGES)
        self.fuse = nn.Conv2d(len(STAGES), 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Find the edges of photos.

        Args:
            pixels: (b, 3, h, w) RGB from 0 to 255. With h and w multiples of STRIDE, the votes lie where the edges do.

        Returns:
            (b, 1, h, w) float32 from 0 to 1.
        """
        features = pixels.flip(1) - pixels.new_tensor(MEAN_BLUE_GREEN_RED)[:, None, None]
        votes = []
        for stage, score in zip(self.stages, self.scores, strict=True):
            features = stage(features)
            votes.append(F.interpolate(score(features).float(), pixels.shape[2:], mode="bilinear"))
        fused = F.conv2d(torch.cat(votes, dim=1), self.fuse.weight.float(), _bias(self.fuse).float())
        return fused.sigmoid()


def rename_published(key: str) -> str:
    """Return our name of a published weight; a key that is none of them is returned as it is."""
    names = {"Combine.0": "fuse"}
    for number, stage in enumerate(PUBLISHED_STAGES):
        names |= {f"Vgg{stage}": f"stages.{number}", f"Score{stage}": f"scores.{number}"}
    for published, own in names.items():
        for prefix in PUBLISHED_PREFIXES:
            if key.startswith(f"{prefix}{published}."):
                return own + key[len(prefix) + len(published) :]
    return key


def _build_stage(number: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.MaxPool2d(2)] if number else []
    channels = STAGES[number - 1][-1] if number else 3
    for width in STAGES[number]:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers)


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias
