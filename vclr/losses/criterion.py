"""The detection losses: of the last layer, of each earlier layer, and of the two-stage proposals."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

import torch
from torch import Tensor

from vclr.config import CriterionConfig
from vclr.losses.functional import box_l1_loss, dice_loss, focal_loss, giou_loss, mask_loss, one_hot_labels
from vclr.losses.matcher import HungarianMatcher, Matching
from vclr.ops.points import draw_uncertain_points, sample_at_points
from vclr.structures import MaskFeatures, Outputs, Target

Losses = dict[str, Tensor]
Generators = list[torch.Generator] | None


class Criterion:
    """Match every layer's queries to the objects and compute weighted losses (docs/method.md, section 4).

    All layers are computed together, in float32 except for the product that gives mask logits.
    """

    def __init__(self, config: CriterionConfig) -> None:
        self.config = config
        self.matcher = HungarianMatcher(config.matcher)

    def __call__(
        self,
        outputs: Outputs,
        targets: list[Target],
        num_boxes: float,
        generators: Generators = None,
        teacher: Outputs | None = None,
        factor: float = 1.0,
        suffix: str = "",
    ) -> tuple[Losses, Matching]:
        """Compute all losses.

        Args:
            outputs: of a training forward pass.
            targets: the objects of each image; their masks cover what the image's mask features cover.
            num_boxes: the divisor of all sums: the mean number of objects per process.
            generators: one per image, on its device, for the points at which masks are compared.
            teacher: outputs to match as well; no loss here uses them.
            factor: multiplies all weights; with 0 there are no losses, and the matching alone is returned.
            suffix: follows the name of each loss.

        Returns:
            The weighted losses by name: `loss_class`, `loss_bbox`, `loss_giou`, `loss_mask`, `loss_dice`, the same with
            `_0`, `_1` ... for earlier layers and `_enc` for the proposals; and the matching of the layers in the order
            last, earlier, proposals, teacher (its earlier layers first, if the consistency loss compares all).
        """
        layers = {"": outputs, **{f"_{number}": layer for number, layer in enumerate(outputs.aux_outputs)}}
        if outputs.enc_outputs is not None:
            layers["_enc"] = outputs.enc_outputs
        logits = torch.stack([layer.pred_logits for layer in layers.values()]).float()
        boxes = torch.stack([layer.pred_boxes for layer in layers.values()]).float()
        matching = self._match(logits, boxes, targets, teacher)
        if not factor:
            return {}, matching
        by_kind = self.box_losses(logits, boxes, targets, matching, num_boxes)
        if outputs.mask_features is not None:
            logits_of_masks = matched_mask_logits(list(layers.values()), matching)
            by_kind |= self.mask_losses(logits_of_masks, targets, matching, num_boxes, generators)
        return self.weigh(by_kind, layers, factor, suffix), matching

    def weigh(self, by_kind: Losses, layers: Iterable[str], factor: float = 1.0, suffix: str = "") -> Losses:
        """Multiply the losses (l,) of each kind by its weight and a factor; name each by kind, suffix and layer."""
        losses: Losses = {}
        for kind, of_layers in by_kind.items():
            weighted = (of_layers * (factor * getattr(self.config.weight_dict, kind))).unbind()
            losses |= {f"{kind}{suffix}{layer}": value for layer, value in zip(layers, weighted, strict=True)}
        return losses

    def _match(self, logits: Tensor, boxes: Tensor, targets: list[Target], teacher: Outputs | None) -> Matching:
        if teacher is not None:
            taught = [*teacher.aux_outputs, teacher] if self.config.consistency.layers == "all" else [teacher]
            logits = torch.cat([logits.detach(), *(layer.pred_logits[None].to(logits.dtype) for layer in taught)])
            boxes = torch.cat([boxes.detach(), *(layer.pred_boxes[None].to(boxes.dtype) for layer in taught)])
        return self.matcher(logits, boxes, targets)

    def box_losses(
        self, logits: Tensor, boxes: Tensor, targets: list[Target], matching: Matching, num_boxes: float
    ) -> Losses:
        """Return the losses (l,) of class and box from logits (l, b, q, c) and boxes (l, b, q, 4)."""
        config, num_layers = self.config, len(logits)
        matched, objects = matching.rows[:num_layers], matching.targets[:num_layers]
        labels = torch.cat([target.labels for target in targets])[objects]
        true_boxes = torch.cat([target.boxes for target in targets])[objects]
        predicted = boxes.flatten(0, 2)[matched]
        one_hot = one_hot_labels(logits, matched.flatten(), labels.flatten())
        return {
            "loss_class": focal_loss(logits, one_hot, config.alpha, config.gamma, num_boxes),
            "loss_bbox": box_l1_loss(predicted, true_boxes, num_boxes),
            "loss_giou": giou_loss(predicted, true_boxes, num_boxes),
        }

    def mask_losses(
        self,
        logits_of_images: list[Tensor],
        targets: list[Target],
        matching: Matching,
        num_boxes: float,
        generators: Generators,
    ) -> Losses:
        """Return the losses (l,) of each image's mask logits (l, k, h, w), compared at points, most where unsure."""
        num_layers = len(logits_of_images[0])
        by_image = zip(
            logits_of_images,
            targets,
            matching.objects[:num_layers].split(matching.num_pairs, 1),
            generators or repeat(None, len(targets)),
            strict=True,
        )
        sampled = [self._sample(*of_image) for of_image in by_image]
        logits, labels = (torch.cat(points, 1) for points in zip(*sampled, strict=True))
        return {
            "loss_mask": mask_loss(logits, labels, num_boxes),
            "loss_dice": dice_loss(logits, labels, num_boxes),
        }

    def _sample(
        self, logits: Tensor, target: Target, objects: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Read one image's logits (l, k, h, w) and the masks of their objects (l, k) at the same points, (l, k, p)."""
        config, logits_of_pairs = self.config, logits.flatten(0, 1)
        points = draw_uncertain_points(
            logits_of_pairs, config.num_points, config.oversample_ratio, config.importance_sample_ratio, generator
        )
        point_logits = sample_at_points(logits_of_pairs, points).unflatten(0, objects.shape)
        points = points.unflatten(0, objects.shape)
        # Each mask is sampled once, at the points of all layers: a copy per layer would be large.
        layers = torch.arange(len(objects), device=objects.device)[:, None]
        by_object = points.new_zeros(len(target), len(objects), *points.shape[2:])
        by_object[objects, layers] = points
        point_labels = sample_at_points(target.masks.to(logits.dtype), by_object.flatten(1, 2))
        return point_logits, point_labels.unflatten(1, by_object.shape[1:3])[objects, layers]


def matched_mask_logits(layers: list[Outputs], matching: Matching) -> list[Tensor]:
    """Return the mask logits (l, k, h, w) of each image's matched queries, in float32: the losses read no others."""
    of_layers = []
    for layer, queries in zip(layers, matching.queries, strict=False):
        assert layer.mask_embeds is not None
        of_layers.append(layer.mask_embeds.flatten(0, 1)[queries])
    assert layers[0].mask_features is not None
    return mask_logits(torch.stack(of_layers), layers[0].mask_features, matching.num_pairs)


def mask_logits(mask_embeds: Tensor, mask_features: MaskFeatures, num_pairs: list[int]) -> list[Tensor]:
    """Return the mask logits (l, k, h, w) of each image in float32, given the vectors (l, k, e) of all images.

    One product per image for all layers, whose masks come from the same features. It is computed in the precision of
    the vectors, because which of the two autocast leaves in float32 depends on the device.
    """
    logits = []
    for embeds, features in zip(mask_embeds.split(num_pairs, 1), mask_features, strict=True):
        products = torch.einsum("lke,ehw->lkhw", embeds, features.to(embeds.dtype))
        logits.append(products.float())
    return logits
