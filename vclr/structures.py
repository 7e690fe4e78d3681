"""What flows through the code, and the legend of the shape letters.

| letter | meaning |
|---|---|
| b | image in a batch |
| h w | height and width; of which map, the text says |
| q | query |
| d | channel |
| l | feature level |
| s | position, all levels flattened |
| n | object of one image |
| m | attention head |
| p | sampling point |

Boxes say their convention in their name or in the docstring: `cxcywh` or `xyxy`, normalized (by the image without its
padding, unless the text says otherwise) or absolute pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")
Size = tuple[int, int]  # height, width


@dataclass
class Target:
    """The objects of one training image.

    Attributes:
        labels: (n,) int64 class indices; 0 in the class-agnostic setting.
        boxes: (n, 4) float32 cxcywh normalized by the image size without padding.
        masks: (n, h, w) uint8 at the size of the input image without padding.
        image_id: the image's id in its annotations json.
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor
    image_id: int

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class Batch:
    """A padded batch as the model takes it.

    Attributes:
        images: (b, 3, h, w) float32 RGB 0-255 of the chosen view, padded bottom and right with zeros.
        natural: the same photos in the natural view with the same geometry, for the teacher; `images` itself where the
            data set has only that view.
        image_sizes: (height, width) of each image without its padding.
        targets: the objects of each image.
        views: the view of each image, by name.
    """

    images: Tensor
    natural: Tensor
    image_sizes: list[Size]
    targets: list[Target]
    views: list[str]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass
class Outputs:
    """What the detector computes.

    Attributes:
        pred_logits: (b, q, c) class logits of the last decoder layer.
        pred_boxes: (b, q, 4) cxcywh normalized.
        queries: (b, q, d) normed outputs of the last decoder layer, what the consistency loss compares.
        mask_embeds: (b, q, e) per-query vectors; a mask is their dot product with `mask_features`.
        mask_features: one (e, h, w) per-pixel map an image, at the finest level's stride, without padding.
        aux_outputs: the same for each earlier decoder layer (without queries and mask features).
        enc_outputs: the same for the two-stage proposals.
    """

    pred_logits: Tensor
    pred_boxes: Tensor
    queries: Tensor
    mask_embeds: Tensor | None = None
    mask_features: list[Tensor] | None = None
    aux_outputs: tuple[Outputs, ...] = ()
    enc_outputs: Outputs | None = None


@dataclass
class Predictions:
    """The objects found in one image, best first.

    Attributes:
        boxes: (n, 4) float32 xyxy absolute pixels of the original image.
        scores: (n,) float32 in [0, 1].
        masks: (n, h, w) bool at the original size.
    """

    boxes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


def to_device(value: T, device: torch.device) -> T:
    """Return a `Batch` or `Target` with every tensor on `device`."""
    moved = {}
    for field in fields(value):  # type: ignore[arg-type]
        item = getattr(value, field.name)
        if isinstance(item, Tensor):
            item = item.to(device, non_blocking=True)
        elif isinstance(item, list) and item and isinstance(item[0], Target):
            item = [to_device(target, device) for target in item]
        moved[field.name] = item
    return type(value)(**moved)
