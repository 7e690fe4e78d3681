"""The detection losses: of the last layer, of each earlier layer, and of the two-stage proposals."""

from __future__ import annotations

from itertools import repeat

import torch
from torch import Tensor

from vclr.config import CriterionConfig
from vclr.losses.functional import box_l1_loss, dice_loss, focal_loss, giou_loss, mask_loss, one_hot_labels
from vclr.losses.matcher import HungarianMatcher, Indices
from vclr.ops.points import draw_uncertain_points, sample_at_points
from vclr.structures import Outputs, Target

Losses = dict[str, Tensor]
Generators = list[torch.Generator] | None


class Criterion:
    """Match every layer's queries to the objects and compute weighted losses (METHOD: paper section 3.4)."""

    def __init__(self, config: CriterionConfig) -> None:
        self.config = config
        self.matcher = HungarianMatcher(config.matcher)

    def __call__(
        self, outputs: Outputs, targets: list[Target], num_boxes: float, generators: Generators = None
    ) -> tuple[Losses, Indices]:
        """Compute all losses.

        Args:
            outputs: of a training forward pass.
            targets: the objects of each image; their masks cover what the image's mask features cover.
            num_boxes: what sums are divided by: the mean number of objects a process.
            generators: of each image, on its device, for the points at which masks are compared.

        Returns:
            The weighted losses by name: `loss_class`, `loss_bbox`, `loss_giou`, `loss_mask`, `loss_dice`, the same with
            `_0`, `_1` ... for earlier layers and `_enc` for the proposals; and the matching of the last layer.
        """
        layers = {"": outputs, **{f"_{number}": layer for number, layer in enumerate(outputs.aux_outputs)}}
        if outputs.enc_outputs is not None:
            layers["_enc"] = outputs.enc_outputs
        losses: Losses = {}
        matched: Indices = []
        for suffix, layer in layers.items():
            indices = self.matcher(layer, targets)
            matched = matched or indices
            for name, value in self._layer_losses(layer, targets, indices, num_boxes, generators).items():
                losses[name + suffix] = value * getattr(self.config.weight_dict, name)
        return losses, matched

    def _layer_losses(
        self, outputs: Outputs, targets: list[Target], indices: Indices, num_boxes: float, generators: Generators
    ) -> Losses:
        config = self.config
        matched = flatten_indices(indices)
        labels = torch.cat([target.labels[objects] for target, (_, objects) in zip(targets, indices, strict=True)])
        boxes = torch.cat([target.boxes[objects] for target, (_, objects) in zip(targets, indices, strict=True)])
        logits = outputs.pred_logits.float()
        predicted = outputs.pred_boxes.float()[matched]
        losses = {
            "loss_class": focal_loss(
                logits, one_hot_labels(logits, matched, labels), config.alpha, config.gamma, num_boxes
            ),
            "loss_bbox": box_l1_loss(predicted, boxes, num_boxes),
            "loss_giou": giou_loss(predicted, boxes, num_boxes),
        }
        if outputs.mask_embeds is not None:
            masks = [target.masks[objects] for target, (_, objects) in zip(targets, indices, strict=True)]
            losses |= self._mask_losses(matched_mask_logits(outputs, indices), masks, num_boxes, generators)
        return losses

    def _mask_losses(
        self, logits: list[Tensor], masks: list[Tensor], num_boxes: float, generators: Generators
    ) -> Losses:
        """Compare each image's (n, h, w) logits and (n, H, W) masks at points, most where the logits are unsure."""
        sampled = list(map(self._sample, logits, masks, generators or repeat(None)))
        point_logits, point_labels = (torch.cat(points) for points in zip(*sampled, strict=True))
        return {
            "loss_mask": mask_loss(point_logits, point_labels, num_boxes),
            "loss_dice": dice_loss(point_logits, point_labels, num_boxes),
        }

    def _sample(self, logits: Tensor, masks: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Read one image's logits and masks at the same points, (n, p) each."""
        config = self.config
        points = draw_uncertain_points(
            logits, config.num_points, config.oversample_ratio, config.importance_sample_ratio, generator
        )
        return sample_at_points(logits, points), sample_at_points(masks.to(logits.dtype), points)


def flatten_indices(indices: Indices) -> tuple[Tensor, Tensor]:
    """Return the image and the query of every pair in a batch, (k,) and (k,)."""
    images = torch.cat([torch.full_like(queries, number) for number, (queries, _) in enumerate(indices)])
    return images, torch.cat([queries for queries, _ in indices])


def matched_mask_logits(outputs: Outputs, indices: Indices) -> list[Tensor]:
    """Return each image's mask logits (k, h, w) float32 of the matched queries only: the losses read no others."""
    assert outputs.mask_embeds is not None and outputs.mask_features is not None
    return [
        torch.einsum("ke,ehw->khw", embeds[queries], features).float()
        for embeds, features, (queries, _) in zip(outputs.mask_embeds, outputs.mask_features, indices, strict=True)
    ]
