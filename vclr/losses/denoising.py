"""The denoising losses: the detection losses of the queries that began as noisy objects (DINO, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from vclr.losses.criterion import Criterion, Generators, Losses, mask_logits
from vclr.losses.matcher import match_in_order
from vclr.structures import MaskFeatures, Outputs, Target


def compare_denoised(
    criterion: Criterion,
    denoised: Outputs,
    mask_features: MaskFeatures | None,
    targets: list[Target],
    num_boxes: float,
    generators: Generators = None,
) -> Losses:
    """Compare each denoising query with the object that it began as; nothing is matched.

    The first half of a group must give the objects back; the second half, and empty places, must say that there is no
    object, as in the reference. Sums are divided by the number of groups, too.

    Args:
        criterion: computes the losses as for other queries.
        denoised: the outputs of the denoising queries, with the dimensions (g, 2n) in place of q.
        mask_features: of the detector's own outputs.
        targets: the objects of each image; their masks cover what the image's mask features cover.
        num_boxes: the divisor of the detection losses.
        generators: one per image, on its device, for the points at which masks are compared.

    Returns:
        The weighted losses by name: `loss_class_dn`, `loss_bbox_dn`, `loss_giou_dn` and, if the queries have mask
        vectors, `loss_mask_dn` and `loss_dice_dn`, the same with `_0`, `_1` ... for earlier layers.
    """
    layers = {"": denoised, **{f"_{number}": layer for number, layer in enumerate(denoised.aux_outputs)}}
    num_groups = denoised.pred_logits.shape[1]
    # Groups are computed as layers of their own: each has one query per object.
    logits = _groups_as_layers([layer.pred_logits for layer in layers.values()]).float()
    boxes = _groups_as_layers([layer.pred_boxes for layer in layers.values()]).float()
    matching = match_in_order(list(map(len, targets)), len(logits), logits.shape[2], logits.device)
    by_kind = criterion.box_losses(logits, boxes, targets, matching, num_boxes * num_groups)
    vectors = [layer.mask_embeds for layer in layers.values() if layer.mask_embeds is not None]
    if vectors and mask_features is not None:
        embeds = _groups_as_layers(vectors).flatten(1, 2)[:, matching.queries[0]]
        of_images = mask_logits(embeds, mask_features, matching.num_pairs)
        by_kind |= criterion.mask_losses(of_images, targets, matching, num_boxes * num_groups, generators)
    of_layers = {
        f"{kind}_dn": of_all.unflatten(0, (len(layers), num_groups)).sum(1) for kind, of_all in by_kind.items()
    }
    return criterion.weigh(of_layers, layers)


def _groups_as_layers(layers: list[Tensor]) -> Tensor:
    """Join what each layer says of the groups (b, g, 2n, ...) to (l * g, b, 2n, ...)."""
    return torch.stack(layers).transpose(1, 2).flatten(0, 1)
