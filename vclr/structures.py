"""The data structures that rooms exchange, and the legend of the shape letters.

| letter | meaning |
|---|---|
| b | image in a batch |
| h w | height and width of the map that the text names |
| q | query |
| d | channel |
| l | feature level |
| s | position, all levels flattened |
| n | object of one image |
| m | attention head |
| p | sampling point |
| g | group of denoising queries |

The name or the docstring of boxes gives their convention: `cxcywh` or `xyxy`, normalized (by the size of the image
without padding, unless the text says otherwise) or in absolute pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")
Size = tuple[int, int]  # height, width
MaskFeatures = list[Tensor] | Tensor  # one (e, h, w) per image, or (b, e, h, w) if they are known to have one size


@dataclass
class Target:
    """The objects of one training image.

    Attributes:
        labels: (n,) int64 class indices; 0 in the class-agnostic setting.
        boxes: (n, 4) float32 cxcywh normalized by the image size without padding.
        masks: (n, h, w) uint8 at the size of the input image without padding.
        image_id: the image's id in its annotations json.
        is_proposal: (n,) bool, which objects are object proposals; the others are annotations (default: no proposals).
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor
    image_id: int
    is_proposal: Tensor = None  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        if self.is_proposal is None:
            self.is_proposal = torch.zeros(len(self.labels), dtype=torch.bool, device=self.labels.device)

    def __len__(self) -> int:
        return len(self.labels)

    def pin_memory(self) -> Target:
        """Return a copy in pinned memory, from which copies to a GPU are asynchronous."""
        return self._with(Tensor.pin_memory)

    def take(self, objects: Tensor) -> Target:
        """Return a target of some of the objects: `objects` (k,) are their numbers, on the device."""
        return self._with(lambda tensor: tensor[objects])

    def _with(self, change: Callable[[Tensor], Tensor]) -> Target:
        tensors = {name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)  # type: ignore[arg-type]


@dataclass
class Batch:
    """A padded batch, the input of the model.

    Attributes:
        images: (b, 3, h, w) uint8 RGB of the chosen view, padded with zeros at the bottom and right.
        teacher_images: what the teacher sees of the same photos, with the same geometry: the natural view, unless
            `views.teacher_weights` names others. It is `images` itself if student and teacher see the same, or without
            a teacher.
        image_sizes: (height, width) of each image without padding.
        targets: the objects of each image.
        views: the name of each image's view.
        missing_views: for each image, the name of the view that was drawn if the photo has no file of it, else "".
        teacher_views: the name of each view in `teacher_images`, "" without a teacher.
        teacher_missing_views: the same as `missing_views`, of the teacher's draws.
    """

    images: Tensor
    teacher_images: Tensor
    image_sizes: list[Size]
    targets: list[Target]
    views: list[str]
    missing_views: list[str] = field(default_factory=list)
    teacher_views: list[str] = field(default_factory=list)
    teacher_missing_views: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.targets)

    def tensors(self) -> Iterator[Tensor]:
        """Yield every tensor of the batch; a tensor that occurs twice is yielded twice."""
        yield from (self.images, self.teacher_images)
        for target in self.targets:
            yield from (target.labels, target.boxes, target.masks, target.is_proposal)


@dataclass
class NoisyObjects:
    """The objects of a batch with noise, from which the decoder is to find the objects again (DINO, section 3.3).

    Each group has each object twice: first moved by less than the noise scale, then by more. Images with fewer than n
    objects have empty places.

    Attributes:
        labels: (b, g, 2, n) int64 class indices; -1 at empty places.
        boxes: (b, g, 2, n, 4) cxcywh normalized by the image size without padding; 0.5 at empty places.
    """

    labels: Tensor
    boxes: Tensor


@dataclass
class Outputs:
    """The output of the detector.

    Attributes:
        pred_logits: (b, q, c) class logits of the last decoder layer.
        pred_boxes: (b, q, 4) cxcywh normalized.
        queries: (b, q, d) normalized outputs of the last decoder layer, which the consistency loss compares.
        mask_embeds: (b, q, e) per-query vectors; a mask is their dot product with `mask_features`.
        mask_features: one (e, h, w) per-pixel map per image, at the finest level's stride, without padding; one tensor
            (b, e, h, w) if the detector was told that nothing is padded.
        aux_outputs: the same for each earlier decoder layer (without memory).
        enc_outputs: the same for the two-stage proposals.
        memory: the finest level of the encoder memory, one (d, h, w) per image without padding; in training, if the
            consistency loss compares it.
        denoising: the same for the noisy objects, if there are any, with two dimensions (g, 2n) in place of q; without
            mask features.
    """

    pred_logits: Tensor
    pred_boxes: Tensor
    queries: Tensor
    mask_embeds: Tensor | None = None
    mask_features: MaskFeatures | None = None
    aux_outputs: tuple[Outputs, ...] = ()
    enc_outputs: Outputs | None = None
    memory: list[Tensor] | None = None
    denoising: Outputs | None = None


class MaskForm(Enum):
    """The form in which predicted masks are asked for."""

    PAINTED = "painted"
    ENCODED = "encoded"
    NONE = "none"


@dataclass
class Predictions:
    """The objects found in one image, best first.

    Attributes:
        boxes: (n, 4) float32 xyxy absolute pixels of the original image.
        scores: (n,) float32 in [0, 1].
        masks: (n, h, w) bool at the original size; (n, 0, 0) unless they were asked for.
        encoded_masks: the masks as COCO's compressed RLE, if these were asked for.
        queries: (n,) int64, the query of each object; None if that is not known.
    """

    boxes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray
    encoded_masks: list[dict[str, Any]] | None = None
    queries: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def mask(self, index: int) -> np.ndarray:
        """Return the (h, w) bool mask of an object, in whichever form the masks are held."""
        if self.encoded_masks is None:
            return self.masks[index]
        from pycocotools import mask as coco_mask  # here: most of those who read this file need no masks

        return np.asarray(coco_mask.decode(self.encoded_masks[index])).astype(bool)

    def take(self, indices: Sequence[int] | np.ndarray) -> Predictions:
        """Return some of the objects, in the order of `indices`."""
        encoded = self.encoded_masks
        if encoded is not None:
            encoded = [encoded[index] for index in indices]
        chosen = np.asarray(indices, np.int64)
        masks = self.masks[chosen] if len(self.masks) else self.masks
        return Predictions(self.boxes[chosen], self.scores[chosen], masks, encoded)


def padded_size(sizes: Sequence[Size]) -> Size:
    """Return the size to which images or maps are padded together."""
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def to_device(value: T, device: torch.device) -> T:
    """Return a `Batch` or `Target` with every tensor on `device`; a tensor that occurs twice is moved once.

    Copies from pinned memory to a GPU are asynchronous: later work on the same stream waits for them. Copies to the CPU
    are synchronous, because nothing on the CPU would wait for them.
    """
    moved: dict[str, object] = {}
    tensors: dict[int, Tensor] = {}
    for part in fields(value):  # type: ignore[arg-type]
        item = getattr(value, part.name)
        if isinstance(item, Tensor):
            if id(item) not in tensors:
                tensors[id(item)] = item.to(device, non_blocking=device.type != "cpu")
            item = tensors[id(item)]
        elif isinstance(item, list) and item and isinstance(item[0], Target):
            item = [to_device(target, device) for target in item]
        moved[part.name] = item
    return type(value)(**moved)
