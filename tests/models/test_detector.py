"""The detector: as large as published, differentiable everywhere, each image of a batch for itself."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vclr.config import Config, load_config
from vclr.losses.criterion import Criterion
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.structures import Outputs, Size, Target

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


@cache
def demo_config(*overrides: str) -> Config:
    return load_config(DEMO, ["model.criterion.num_points=32", "model.num_queries=20", *overrides])


def draw_images(b: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, list[Size]]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(b, 3, height, width, generator=generator), [(height, width)] * b


def make_targets(b: int, height: int, width: int) -> list[Target]:
    boxes = torch.tensor([[0.4, 0.4, 0.3, 0.4], [0.7, 0.6, 0.2, 0.3]])
    masks = torch.zeros(2, height, width, dtype=torch.uint8)
    masks[0, height // 4 : height // 2, : width // 2] = 1
    masks[1, height // 2 :, width // 2 :] = 1
    return [Target(torch.zeros(2, dtype=torch.int64), boxes, masks, number) for number in range(b)]


def backward(model: Detector, config: Config, size: tuple[int, int]) -> float:
    """Take all losses of two images and their gradients; return their sum."""
    torch.manual_seed(0)
    outputs = model(*draw_images(2, *size))
    losses, _ = Criterion(config.model.criterion)(outputs, make_targets(2, *size), 4.0)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    return total.item()


def shake(model: Detector) -> Detector:
    """Move off the initialization, whose zero weights hide parts of the network."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return model


def assert_same(first: Outputs, second: Outputs, tolerance: float = 1e-4) -> None:
    for name in ("pred_logits", "pred_boxes", "queries", "mask_embeds", "mask_features"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=tolerance, atol=tolerance)


def part_of(outputs: Outputs, image: int) -> Outputs:
    """What a batch's outputs say of one image."""
    one = slice(image, image + 1)
    names = ("pred_logits", "pred_boxes", "queries", "mask_embeds", "mask_features")
    return Outputs(*(getattr(outputs, name)[one] for name in names))


def pad(images: list[Tensor], filler: float = 0.0) -> tuple[Tensor, list[Size]]:
    """Join (3, h, w) images to a batch, padded bottom and right."""
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    batch = torch.full((len(images), 3, *(max(side) for side in zip(*sizes, strict=True))), filler)
    for slot, image, (height, width) in zip(batch, images, sizes, strict=True):
        slot[:, :height, :width] = image
    return batch, sizes


@pytest.fixture(scope="module")
def published() -> Detector:
    return build_model(load_config())


def test_published_model_has_the_published_parameters(published: Detector):
    """The reference's 91 054 051, less 256 and 2 763 264 that its losses multiply by zero; its stem is frozen."""
    assert sum(parameter.numel() for parameter in published.parameters()) == 88_290_531
    assert sum(parameter.numel() for parameter in published.parameters() if parameter.requires_grad) == 88_281_123
    frozen = [name for name, parameter in published.named_parameters() if not parameter.requires_grad]
    assert frozen == ["backbone.stem.conv.weight"]


def test_every_parameter_of_the_published_model_learns(published: Detector):
    config = load_config(None, ["model.num_queries=50", "model.criterion.num_points=32"])
    model = build_model(config)
    model.load_state_dict({**published.state_dict(), "query_content.weight": published.query_content.weight[:50]})
    backward(shake(model).train(), config, (64, 96))
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert idle == []
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


def test_every_parameter_of_the_demo_learns():
    config = demo_config()
    model = shake(build_model(config)).train()
    backward(model, config, (64, 64))
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert idle == []


def test_heads_start_identical_and_are_separate():
    model = build_model(demo_config())
    for heads in (model.class_embed, model.bbox_embed, model.mask_embed):
        for name, first in heads[0].named_parameters():
            for head in heads[1:]:
                assert torch.equal(first, head.get_parameter(name))
                assert first is not head.get_parameter(name)


def test_untrained_objects_are_rare():
    outputs = build_model(demo_config()).eval()(*draw_images(1, 64, 64))
    assert outputs.pred_logits.sigmoid().mean().item() == pytest.approx(0.01, rel=1)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    first = build_model(demo_config())
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1)), "building a model moved the global generator"
    second, other = build_model(demo_config()), build_model(demo_config("train.seed=1"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.query_content.weight, other.query_content.weight)


@pytest.mark.parametrize("size", [(64, 64), (61, 67), (33, 95), (96, 17)], ids=str)
def test_images_of_a_batch_do_not_touch(size: tuple[int, int]):
    model = shake(build_model(demo_config())).eval()
    images, sizes = draw_images(2, *size)
    with torch.no_grad():
        together = model(images, sizes)
        for number in range(2):
            one = slice(number, number + 1)
            assert_same(model(images[one], sizes[one]), part_of(together, number))


# The last has fewer cells than there are queries.
SIZES = [[(64, 96), (96, 64)], [(61, 67), (33, 95), (40, 40)], [(65, 1), (1, 65)], [(96, 96), (17, 9)]]
FROZEN_BN = ("model.backbone.norm=FrozenBN", "model.backbone.stem_pool=False", "model.transformer.num_feature_levels=4")


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("overrides", [(), FROZEN_BN], ids=["demo", "frozen norms, no pooling, four levels"])
def test_each_image_of_a_padded_batch_gets_what_it_gets_alone(sizes: list[Size], overrides: tuple[str, ...]):
    model = shake(build_model(demo_config(*overrides))).eval()
    images = [draw_images(1, *size, seed)[0][0] for seed, size in enumerate(sizes)]
    with torch.no_grad():
        together = model(*pad(images))
        for number, image in enumerate(images):
            assert_same(model(*pad([image])), part_of(together, number))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_each_image_of_a_padded_batch_trains_what_it_trains_alone(sizes: list[Size]):
    """The sum of the gradients of single images is that of the batch, but for the mask branch's batch norm."""
    config = demo_config("model.criterion.weight_dict.loss_mask=0", "model.criterion.weight_dict.loss_dice=0")
    images = [draw_images(1, *size, seed)[0][0] for seed, size in enumerate(sizes)]
    targets = [make_targets(1, *size)[0] for size in sizes]
    groups = [range(len(sizes)), *([number] for number in range(len(sizes)))]
    gradients = []
    for group in groups:
        model = shake(build_model(config)).train()
        outputs = model(*pad([images[number] for number in group]))
        losses, _ = Criterion(config.model.criterion)(outputs, [targets[number] for number in group], 4.0)
        torch.stack(list(losses.values())).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if "mask" not in name})
    for name, whole in gradients[0].items():
        parts = torch.stack([alone[name] for alone in gradients[1:]]).sum(0)
        torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-4 * parts.abs().max().item(), msg=name)


def test_batch_norm_of_the_mask_branch_counts_pixels_of_images_alone():
    """The statistics of a padded batch are those of all its pixels, padding not among them."""
    model = shake(build_model(demo_config())).train()
    seen: list[Tensor] = []
    model.mask_branch.mapping[0].register_forward_hook(lambda _, __, output: seen.append(output))
    images = [draw_images(1, *size, seed)[0][0] for seed, size in enumerate([(64, 96), (40, 56)])]
    model(*pad(images))
    pixels = torch.cat([output.detach().transpose(0, 1).flatten(1) for output in seen], 1)
    norm = model.mask_branch.mapping[1]
    torch.testing.assert_close(norm.running_mean, 0.1 * pixels.mean(1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * pixels.var(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("filler", [7.0, -3.0, float("nan")])
def test_padded_content_is_not_read(filler: float):
    model = shake(build_model(demo_config())).eval()
    images = [draw_images(1, *size, seed)[0][0] for seed, size in enumerate([(64, 96), (40, 70)])]
    with torch.no_grad():
        assert_same(model(*pad(images)), model(*pad(images, filler)), 0.0)


@torch.no_grad()
def both_ways_of_padding(model: Detector, images: Tensor, sizes: list[Size]) -> tuple[Outputs, Outputs]:
    right = model(images, sizes)
    model.pads_like_reference = True
    return right, model(images, sizes)


def test_padding_is_read_where_the_reference_reads_it():
    model = shake(build_model(demo_config())).train()
    images, sizes = pad([draw_images(1, *size, seed)[0][0] for seed, size in enumerate([(64, 96), (40, 70)])])
    right, like_reference = both_ways_of_padding(model, images, sizes)
    assert [features.shape[1:] for features in like_reference.mask_features] == [(8, 12), (8, 12)]
    assert [features.shape[1:] for features in right.mask_features] == [(8, 12), (5, 9)]
    assert not torch.allclose(right.pred_logits[1], like_reference.pred_logits[1])


@torch.no_grad()
@pytest.mark.parametrize("images_at_once", [0, 1])
def test_each_group_is_padded_by_itself(images_at_once: int):
    """A detector with several groups gives each what the reference's GPU gives its images."""
    model = shake(build_model(demo_config())).train()
    model.pads_like_reference = True
    photos = [draw_images(1, *size, seed)[0][0] for seed, size in enumerate([(64, 96), (40, 70), (48, 50), (56, 40)])]
    alone = [model(*pad(photos[:2])), model(*pad(photos[2:]))]
    model.padding_group, model.images_at_once = 2, images_at_once
    together = model(*pad(photos))
    assert [features.shape[1:] for features in together.mask_features] == [(8, 12), (8, 12), (7, 7), (7, 7)]
    for name in ("pred_logits", "pred_boxes", "queries"):
        expected = torch.cat([getattr(outputs, name) for outputs in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-4, atol=1e-4)
    model.padding_group = 0
    assert not torch.allclose(model(*pad(photos)).pred_logits[2:], alone[1].pred_logits)


def test_without_padding_both_ways_of_padding_are_one():
    model = shake(build_model(demo_config())).train()
    assert_same(*both_ways_of_padding(model, *draw_images(2, 61, 67)), 0.0)


def test_what_training_sets_does_not_reach_evaluation():
    """Neither the reference's padding nor small parts: an evaluation in the middle of a training is like any other."""
    model = shake(build_model(demo_config())).eval()
    images, sizes = pad([draw_images(1, *size, seed)[0][0] for seed, size in enumerate([(64, 96), (40, 70)])])
    with torch.no_grad():
        before = model(images, sizes)
        model.pads_like_reference, model.images_at_once = True, 1
        assert_same(model(images, sizes), before, 0.0)
    assert set(model.state_dict()) == set(build_model(demo_config()).state_dict())


def test_normalized_padding_is_zero():
    model = build_model(demo_config())
    images = torch.full((2, 3, 8, 8), 200.0)
    normalized = model.normalize(images, [(8, 8), (3, 5)])
    assert (normalized[1, :, 3:] == 0).all()
    assert (normalized[1, :, :, 5:] == 0).all()
    assert torch.equal(normalized[1, :, :3, :5], normalized[0, :, :3, :5])


def test_an_image_with_fewer_cells_than_queries_offers_them_again():
    model = shake(build_model(demo_config())).eval()
    seen = []
    model.proposal_stage.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0][0], output)))
    with torch.no_grad():
        outputs = model(*draw_images(1, 9, 9))
    assert outputs.pred_boxes.shape == (1, 20, 4)
    levels, stage = seen[0]
    cells, num_cells = stage.memory[0], sum(height * width for height, width in levels.spatial_shapes)
    assert torch.equal(cells[num_cells:], cells[: 20 - num_cells])
    assert num_cells < 20


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 5), (40, 1), (31, 33)], ids=str)
def test_tiny_images_have_finite_outputs(size: tuple[int, int]):
    model = shake(build_model(demo_config())).eval()
    with torch.no_grad():
        outputs = model(*draw_images(1, *size))
    for tensor in (outputs.pred_logits, outputs.pred_boxes, outputs.queries, *outputs.mask_features):
        assert tensor.isfinite().all()
    assert outputs.pred_boxes.shape[1] == 20
    assert outputs.pred_boxes.min() >= 0
    assert outputs.pred_boxes.max() <= 1


def test_outputs_have_their_documented_shapes():
    config = demo_config()
    model = build_model(config).train()
    outputs = model(*draw_images(2, 64, 96))
    assert outputs.pred_logits.shape == (2, 20, 1)
    assert outputs.pred_boxes.shape == (2, 20, 4)
    assert outputs.queries.shape == (2, 20, 64)
    assert outputs.mask_embeds.shape == (2, 20, 192)
    assert [features.shape for features in outputs.mask_features] == [(192, 8, 12)] * 2
    assert len(outputs.aux_outputs) == config.model.transformer.decoder.num_layers - 1
    assert outputs.enc_outputs.pred_boxes.shape == (2, 20, 4)
    evaluated = model.eval()(*draw_images(2, 64, 96), with_masks=False)
    assert evaluated.mask_features is None
    assert evaluated.enc_outputs is None
    assert evaluated.aux_outputs == ()


def test_masks_left_out_change_nothing_else():
    model = shake(build_model(demo_config())).eval()
    images, sizes = draw_images(1, 64, 64)
    with torch.no_grad():
        first, second = model(images, sizes), model(images, sizes, with_masks=False)
    assert torch.equal(first.queries, second.queries)
    assert torch.equal(first.pred_boxes, second.pred_boxes)


def test_recomputed_activations_give_the_same_gradients():
    recompute = [f"model.transformer.{part}.use_checkpoint=True" for part in ("encoder", "decoder")]
    gradients = []
    for overrides in ((), recompute):
        config = demo_config(*overrides)
        model = shake(build_model(config)).train()
        backward(model, config, (64, 64))
        gradients.append([parameter.grad for parameter in model.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


def test_bfloat16_in_evaluation_reaches_the_masks_alone():
    model = shake(build_model(demo_config())).eval()
    images, sizes = draw_images(1, 64, 64)
    with torch.no_grad():
        exact = model(images, sizes)
        with torch.autocast("cpu", torch.bfloat16):
            near = model(images, sizes)
    for name in ("pred_logits", "pred_boxes", "queries", "mask_embeds"):
        assert torch.equal(getattr(exact, name), getattr(near, name)), "which objects are found is float32's to say"
    error = (exact.mask_features[0] - near.mask_features[0].float()).abs()
    assert 0 < error.max() < 0.1


def test_bfloat16_training_step_is_finite():
    config = demo_config()
    model = shake(build_model(config)).train()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(*draw_images(2, 64, 64))
    losses, _ = Criterion(config.model.criterion)(outputs, make_targets(2, 64, 64), 4.0)
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("num_levels", [1, 2, 3, 4, 5])
def test_any_number_of_levels(num_levels: int):
    model = build_model(demo_config(f"model.transformer.num_feature_levels={num_levels}")).eval()
    with torch.no_grad():
        outputs = model(*draw_images(1, 64, 64))
    assert outputs.mask_features[0].shape == (64 * num_levels, 8, 8)


@pytest.mark.parametrize("depth", [10, 18, 34, 50, 101])
@pytest.mark.parametrize("norm", ["FrozenBN", "GN"])
def test_every_backbone_halves_its_levels(depth: int, norm: str):
    model = build_model(
        demo_config(
            f"model.backbone.depth={depth}", f"model.backbone.norm={norm}", "model.backbone.res2_out_channels=32"
        )
    )
    with torch.no_grad():
        (features,) = model.backbone([torch.randn(1, 3, 65, 40)])
    assert [tuple(feature.shape[1:]) for feature in features] == [(64, 9, 5), (128, 5, 3), (256, 3, 2)]


@pytest.mark.parametrize(("freeze_at", "frozen"), [(0, set()), (1, {"stem"}), (2, {"stem", "res2"})])
def test_frozen_stages(freeze_at: int, frozen: set[str]):
    model = build_model(demo_config(f"model.backbone.freeze_at={freeze_at}"))
    idle = {name.split(".")[0] for name, value in model.backbone.named_parameters() if not value.requires_grad}
    assert idle == frozen


def test_without_stem_pooling_levels_are_twice_as_fine():
    model = build_model(demo_config("model.backbone.stem_pool=False"))
    assert [feature.shape[2] for feature in model.backbone([torch.randn(1, 3, 64, 64)])[0]] == [16, 8, 4]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, of itself
def test_a_compiled_backbone_computes_the_same():
    config = demo_config()
    plain, compiled = build_model(config), build_model(config)
    compiled.backbone.compile()
    images = torch.randn(1, 3, 64, 96)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for ours, theirs in zip(compiled.backbone([images])[0], plain.backbone([images])[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
