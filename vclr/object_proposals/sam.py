"""Object proposals by SAM or SAM 2 in their "everything mode": a mask for each point of a grid, the best ones kept.

Segment Anything (Kirillov et al., 2023), section 5, ranks masks by the IoU that the model predicts for them, and by
their stability: the IoU of the mask at a higher and at a lower threshold. Both are compared with thresholds there; here
their product is the score, because as many masks as are asked for are kept anyway. Stability is measured on the
model's own masks, which are smaller than the photo.

Letters beside the legend of `vclr.structures`: g point of the grid in a batch, k mask of a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from vclr.catalog.proposal_methods import PROPOSAL_METHODS
from vclr.device import choose_device, choose_dtype
from vclr.errors import UserError
from vclr.object_proposals.options import MethodOptions, Proposals
from vclr.ops.nms import nms
from vclr.pretrained import Pretrained, load_pretrained

POINTS_PER_SIDE = 32  # of the grid
POINTS_AT_ONCE = 64
STABILITY_OFFSET = 1.0  # of the threshold, in logits
MAX_BOX_IOU = 0.7  # with a better mask; above it, a mask is a duplicate
SPARE = 20  # times as many masks as are asked for are kept until duplicates are removed


def open_proposer(options: MethodOptions) -> SamProposer:
    """Load the model.

    Raises:
        UsageError: transformers is not installed.
        UserError: the model cannot be loaded, or takes no points.
    """
    device = choose_device(options.device, f"--device {options.device}")
    source = options.model or PROPOSAL_METHODS["sam"].model
    pretrained = load_pretrained("masks", source, options.revision, device, choose_dtype(options.dtype, device))
    if not hasattr(pretrained.model, "get_image_embeddings"):
        raise UserError(f"{source}: takes no points; name a model of SAM or SAM 2")
    return SamProposer(pretrained, options)


class SamProposer:
    """A model that proposes objects; see `vclr.object_proposals.options.Proposer`."""

    def __init__(self, pretrained: Pretrained, options: MethodOptions) -> None:
        self._model, self._frame = pretrained.model, Frame(pretrained.processor)
        self._max_proposals = options.max_proposals
        self.batch_size = options.batch_size or 1
        self.facts: dict[str, Any] = {**pretrained.facts, "points_per_side": POINTS_PER_SIDE}

    @torch.no_grad()
    def propose(self, images: Sequence[np.ndarray], names: Sequence[str]) -> list[Proposals]:
        """Return the best masks of each photo; see `Proposer`."""
        del names
        inputs = torch.stack([self._frame.prepare(image) for image in images])
        embeddings = self._model.get_image_embeddings(inputs.to(self._model.device, self._model.dtype))
        return [self._find(_take(embeddings, number), image.shape[:2]) for number, image in enumerate(images)]

    def _find(self, embedding: Any, size: tuple[int, ...]) -> Proposals:
        height, width = self._frame.used(size)
        steps = (torch.arange(POINTS_PER_SIDE) + 0.5) / POINTS_PER_SIDE
        grid = torch.cartesian_prod(steps * height, steps * width).flip(1).to(self._model.device, self._model.dtype)
        kept: list[tuple[Tensor, Tensor]] = []  # masks and scores
        for points in grid.split(POINTS_AT_ONCE):
            found = self._model(image_embeddings=embedding, input_points=points[None, :, None], multimask_output=True)
            logits = found.pred_masks.float().flatten(0, 2)  # (g*k, h, w)
            kept.append((logits, self._score(self._frame.cut(logits, size), found.iou_scores.float().flatten())))
            kept = [self._best(kept)]
        ((logits, scores),) = kept
        chosen = nms(_boxes(self._frame.cut(logits, size) > 0), scores, MAX_BOX_IOU)
        chosen = chosen[scores[chosen].isfinite()][: self._max_proposals]
        masks = np.zeros((len(chosen), *size), dtype=bool)
        for mask, number in zip(masks, chosen, strict=True):  # one at a time: a large photo has large masks
            mask[:] = (self._frame.enlarge(logits[number], size) > 0).cpu().numpy()
        return masks, scores[chosen].double().cpu().numpy()

    def _score(self, logits: Tensor, predicted: Tensor) -> Tensor:
        """Return the scores (n,) of masks (n, h, w); minus infinity for an empty one."""
        is_empty = ~(logits > 0).any(2).any(1)
        return (predicted * _stability(logits)).masked_fill(is_empty, -torch.inf)

    def _best(self, found: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        logits, scores = (torch.cat(part) for part in zip(*found, strict=True))
        top = scores.topk(min(len(scores), SPARE * self._max_proposals)).indices
        return logits[top], scores[top]


class Frame:
    """How a photo lies in the square that a model sees, as the settings of its processor say.

    SAM keeps the photo's shape, and fills the square to the right and below; SAM 2 stretches the photo.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """Read the settings.

        Raises:
            UserError: they give no size.
        """
        size = settings.get("size") or {}
        self._keeps_shape = "longest_edge" in size
        side = size.get("longest_edge") or size.get("height")
        if not isinstance(side, int):
            raise UserError(f"the model's processor gives no size ({size}); name a model of SAM or SAM 2")
        self.side: int = side
        self._mean = torch.tensor(settings.get("image_mean", (0.485, 0.456, 0.406))).view(3, 1, 1)
        self._std = torch.tensor(settings.get("image_std", (0.229, 0.224, 0.225))).view(3, 1, 1)

    def used(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of a photo of a size (height, width) in the square."""
        if not self._keeps_shape:
            return self.side, self.side
        scale = self.side / max(size)
        return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))

    def prepare(self, image: np.ndarray) -> Tensor:
        """Return what the model sees (3, side, side) of a photo (h, w, 3) uint8 RGB."""
        height, width = self.used(image.shape[:2])
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
        return functional.pad((pixels - self._mean) / self._std, (0, self.side - width, 0, self.side - height))

    def cut(self, logits: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return the part of masks (n, h, w) of the square that shows a photo of a size (height, width)."""
        height, width = (-(-side * logits.shape[-1] // self.side) for side in self.used(size))  # rounded up
        return logits[:, :height, :width]

    def enlarge(self, logits: Tensor, size: tuple[int, ...]) -> Tensor:
        """Bring a mask (h, w) of the square to a photo of a size (height, width), as the published code does."""
        height, width = self.used(size)
        square = functional.interpolate(logits[None, None], (self.side, self.side), mode="bilinear")
        return functional.interpolate(square[..., :height, :width], (size[0], size[1]), mode="bilinear")[0, 0]


def _take(embeddings: Any, number: int) -> Any:
    """Return the embedding of one photo of a batch: SAM has one tensor, SAM 2 one per level."""
    if isinstance(embeddings, Tensor):
        return embeddings[number : number + 1]
    return [level[number : number + 1] for level in embeddings]


def _stability(logits: Tensor) -> Tensor:
    """Return (n,) the IoU of each mask (n, h, w) at a higher and at a lower threshold; 0 for an empty one."""
    inner, outer = ((logits > offset).sum((1, 2)) for offset in (STABILITY_OFFSET, -STABILITY_OFFSET))
    return inner / outer.clamp(min=1)


def _boxes(masks: Tensor) -> Tensor:
    """Return the boxes (n, 4) xyxy of masks (n, h, w)."""
    rows, columns = masks.any(2).float(), masks.any(1).float()
    top, left = rows.argmax(1), columns.argmax(1)
    bottom, right = masks.shape[1] - rows.flip(1).argmax(1), masks.shape[2] - columns.flip(1).argmax(1)
    return torch.stack([left, top, right, bottom], dim=1).float()
