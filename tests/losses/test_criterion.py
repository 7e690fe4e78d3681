"""The criterion: finite and differentiable for any number of objects, scaled and weighted as documented."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vclr.config import CriterionConfig
from vclr.losses.criterion import Criterion, matched_mask_logits
from vclr.losses.matcher import Matching
from vclr.structures import Outputs, Target

NAMES = ("loss_class", "loss_bbox", "loss_giou", "loss_mask", "loss_dice")
SIZE = (16, 24)


def draw_outputs(b: int = 2, q: int = 6, num_aux: int = 1, with_masks: bool = True) -> Outputs:
    """Outputs of a small detector, as leaves that take gradients."""

    def layer() -> Outputs:
        return Outputs(
            pred_logits=torch.randn(b, q, 1, requires_grad=True),
            pred_boxes=(torch.rand(b, q, 4) * 0.4 + 0.2).requires_grad_(),
            queries=torch.randn(b, q, 3),
            mask_embeds=torch.randn(b, q, 5, requires_grad=True) if with_masks else None,
            mask_features=features,
        )

    torch.manual_seed(0)
    features = [torch.randn(5, 4, 6, requires_grad=True) for _ in range(b)] if with_masks else None
    outputs = layer()
    outputs.aux_outputs = tuple(layer() for _ in range(num_aux))
    outputs.enc_outputs = layer()
    return outputs


def make_target(count: int, height: int = SIZE[0], width: int = SIZE[1]) -> Target:
    generator = torch.Generator().manual_seed(count)
    boxes = torch.rand(count, 4, generator=generator) * 0.4 + 0.2
    masks = (torch.rand(count, height, width, generator=generator) < 0.5).to(torch.uint8)
    return Target(torch.zeros(count, dtype=torch.int64), boxes, masks, count)


def compute(outputs: Outputs, targets: list[Target], num_boxes: float = 1.0, **config: object) -> dict:
    torch.manual_seed(1)
    criterion = Criterion(CriterionConfig(num_points=32, **config))
    return criterion(outputs, targets, num_boxes)[0]


@pytest.mark.parametrize("counts", [(2, 3), (2, 0), (0, 0), (9, 1)], ids=str)
def test_any_number_of_objects_is_finite_and_differentiable(counts: tuple[int, int]):
    outputs = draw_outputs()
    losses = compute(outputs, [make_target(count) for count in counts])
    assert set(losses) == {name + suffix for name in NAMES for suffix in ("", "_0", "_enc")}
    torch.stack(list(losses.values())).sum().backward()
    for layer in (outputs, *outputs.aux_outputs, outputs.enc_outputs):
        for tensor in (layer.pred_logits, layer.pred_boxes, layer.mask_embeds, *layer.mask_features):
            assert tensor.grad is not None
            assert tensor.grad.isfinite().all()
        assert (layer.pred_logits.grad != 0).any()


def test_without_objects_only_the_class_loss_is_left():
    losses = compute(draw_outputs(), [make_target(0), make_target(0)])
    for name, value in losses.items():
        assert (value > 0) == name.startswith("loss_class")


def test_only_matched_queries_get_box_and_mask_gradients():
    outputs = draw_outputs(num_aux=0)
    targets = [make_target(2), make_target(0)]
    criterion = Criterion(CriterionConfig(num_points=32))
    losses, matching = criterion(outputs, targets, 1.0)
    torch.stack(list(losses.values())).sum().backward()
    is_matched = torch.zeros(2, 6, dtype=torch.bool)
    is_matched.view(-1)[matching.queries[0]] = True
    assert ((outputs.pred_boxes.grad != 0).any(-1) == is_matched).all()
    assert ((outputs.mask_embeds.grad != 0).any(-1) == is_matched).all()


def test_losses_shrink_with_the_number_of_boxes():
    targets = [make_target(2), make_target(3)]
    one, five = compute(draw_outputs(), targets, 1.0), compute(draw_outputs(), targets, 5.0)
    for name in one:
        torch.testing.assert_close(one[name], 5 * five[name])


def test_losses_carry_their_weights():
    from vclr.config import WeightDict

    targets = [make_target(2), make_target(3)]
    plain = compute(draw_outputs(), targets, weight_dict=WeightDict(1, 1, 1, 1, 1))
    weighted = compute(draw_outputs(), targets, weight_dict=WeightDict(1, 2, 3, 4, 5))
    for weight, name in enumerate(NAMES, start=1):
        for suffix in ("", "_0", "_enc"):
            torch.testing.assert_close(weight * plain[name + suffix], weighted[name + suffix])


def test_without_masks_there_are_no_mask_losses():
    losses = compute(draw_outputs(with_masks=False), [make_target(2), make_target(3)])
    assert {name.split("_")[1] for name in losses} == {"class", "bbox", "giou"}


def test_order_of_the_objects_does_not_matter():
    target = make_target(3)
    shuffled = Target(target.labels, target.boxes[[2, 0, 1]], target.masks[[2, 0, 1]], 0)
    first, second = compute(draw_outputs(b=1), [target]), compute(draw_outputs(b=1), [shuffled])
    for name in first:
        torch.testing.assert_close(first[name], second[name])


def test_images_of_different_sizes_have_the_losses_that_they_have_alone():
    """Each mask is read over its own image; what the batch is padded to plays no part."""
    outputs, targets = draw_outputs(), [make_target(2), make_target(3, height=8, width=30)]
    for layer in (outputs, *outputs.aux_outputs, outputs.enc_outputs):
        layer.mask_features = [outputs.mask_features[0], torch.ones(5, 2, 8)]
    points, num_layers = torch.rand(3, 32, 2), 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "vclr.losses.criterion.draw_uncertain_points",
            lambda logits, *_: points[: len(logits) // num_layers].repeat(num_layers, 1, 1),
        )
        together = compute(outputs, targets)
        alone = [compute(part_of(outputs, image), [targets[image]]) for image in range(2)]
    for name in together:
        torch.testing.assert_close(together[name], alone[0][name] + alone[1][name])


def part_of(outputs: Outputs, image: int) -> Outputs:
    """What a batch's outputs say of one image."""

    def part(layer: Outputs) -> Outputs:
        one = slice(image, image + 1)
        names = ("pred_logits", "pred_boxes", "queries", "mask_embeds", "mask_features")
        return Outputs(*(getattr(layer, name)[one] for name in names))

    whole = part(outputs)
    whole.aux_outputs, whole.enc_outputs = tuple(map(part, outputs.aux_outputs)), part(outputs.enc_outputs)
    return whole


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mask_logits_are_the_products_of_the_matched_queries(dtype: torch.dtype):
    """In either precision of the vectors: autocast leaves maps in float32 on a GPU, and not on a CPU."""
    outputs = draw_outputs()
    outputs.mask_embeds = outputs.mask_embeds.to(dtype)
    queries, objects = np.array([[1, 4, 2]]), np.array([[0, 1, 0]])
    places = torch.tensor([[1, 4, 6 + 2]])
    matching = Matching(queries, objects, [2, 1], 6, places, places, torch.tensor(objects), torch.tensor([[0, 1, 2]]))
    logits = matched_mask_logits([outputs], matching)
    assert {part.dtype for part in logits} == {torch.float32}
    everything = torch.einsum("bqe,behw->bqhw", outputs.mask_embeds.float(), torch.stack(outputs.mask_features))
    tolerance = {"rtol": 0.02, "atol": 0.1} if dtype is torch.bfloat16 else {}
    torch.testing.assert_close(torch.cat(logits, 1)[0], everything[[0, 0, 1], [1, 4, 2]], **tolerance)
