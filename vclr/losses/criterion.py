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
        indices = [self.matcher(layer, targets) for layer in layers.values()]
        mask_logits = matched_mask_logits(list(layers.values()), indices)
        losses: Losses = {}
        for (suffix, layer), matched, logits in zip(layers.items(), indices, mask_logits, strict=True):
            layer_losses = self._layer_losses(layer, targets, matched, num_boxes)
            if logits is not None:
                masks = [target.masks[objects] for target, (_, objects) in zip(targets, matched, strict=True)]
                layer_losses |= self._mask_losses(logits, masks, num_boxes, generators)
            for name, value in layer_losses.items():
                losses[name + suffix] = value * getattr(self.config.weight_dict, name)
        return losses, indices[0]

    def _layer_losses(self, outputs: Outputs, targets: list[Target], indices: Indices, num_boxes: float) -> Losses:
        config = self.config
        matched = flatten_indices(indices)
        labels = torch.cat([target.labels[objects] for target, (_, objects) in zip(targets, indices, strict=True)])
        boxes = torch.cat([target.boxes[objects] for target, (_, objects) in zip(targets, indices, strict=True)])
        logits = outputs.pred_logits.float()
        predicted = outputs.pred_boxes.float()[matched]
        return {
            "loss_class": focal_loss(
                logits, one_hot_labels(logits, matched, labels), config.alpha, config.gamma, num_boxes
            ),
            "loss_bbox": box_l1_loss(predicted, boxes, num_boxes),
            "loss_giou": giou_loss(predicted, boxes, num_boxes),
        }

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


def matched_mask_logits(layers: list[Outputs], indices: list[Indices]) -> list[list[Tensor]] | list[None]:
    """Return for each layer each image's mask logits (k, h, w) float32, of the matched queries: losses read no others.

    One product an image for all layers, whose masks come from the same features. None for each layer without masks.
    """
    features = layers[0].mask_features
    if features is None:
        return [None] * len(layers)
    by_image = []
    for image, image_features in enumerate(features):
        embeds = []
        for layer, matched in zip(layers, indices, strict=True):
            assert layer.mask_embeds is not None
            embeds.append(layer.mask_embeds[image, matched[image][0]])
        logits = torch.einsum("ke,ehw->khw", torch.cat(embeds), image_features).float()
        by_image.append(logits.split([len(part) for part in embeds]))
    return [list(layer) for layer in zip(*by_image, strict=True)]
