"""Each part alone: matcher, criterion, sampler, attention, coordinates, teacher."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.parity.golden import Arrays, assert_close, fill_value, replay_points
from vclr.config import CriterionConfig, MatcherConfig
from vclr.engine.teacher import Teacher
from vclr.losses.criterion import Criterion
from vclr.losses.matcher import HungarianMatcher
from vclr.models.attention import DeformableAttention, Span
from vclr.models.cells import padding_mask
from vclr.models.levels import Levels, flatten_padded_levels
from vclr.models.position import embed_boxes, embed_cells
from vclr.models.two_stage import ProposalStage
from vclr.ops import points as points_module
from vclr.ops.boxes import inverse_sigmoid
from vclr.ops.deformable_attention import deformable_attention
from vclr.ops.points import draw_uncertain_points, sample_at_points
from vclr.structures import Outputs, Target

LAYERS = {"": "out", "_0": "aux0", "_1": "aux1", "_enc": "enc"}


@pytest.mark.parametrize("case", ["basic", "one_empty", "first_empty", "all_empty", "more_gt_than_q", "three_classes"])
def test_matcher(case: str):
    golden, matcher = Arrays("d_matcher.npz"), HungarianMatcher(MatcherConfig())
    logits, boxes = golden[f"{case}_logits"], golden[f"{case}_boxes"]
    targets = []
    for image in range(2):
        labels, own = golden[f"{case}_t{image}_labels"], golden[f"{case}_t{image}_boxes"]
        targets.append(Target(labels, own, torch.zeros(len(labels), 1, 1), image))
        if len(labels):
            cost = matcher.cost(logits[None, image], boxes[None, image], targets[image])[0]
            assert_close(cost, golden[f"{case}_cost{image}"], 1e-6)
    matching = matcher(logits[None], boxes[None], targets)
    for image in range(2):
        queries, objects = matching.of_image(0, image)
        assert queries.tolist() == golden[f"{case}_i{image}"].tolist()
        assert objects.tolist() == golden[f"{case}_j{image}"].tolist()


def golden_targets(golden: Arrays, case: str) -> list[Target]:
    """Unpack boxes and masks; the masks are packed eight columns to a byte."""
    targets = []
    for image in range(2):
        boxes, packed = golden[f"{case}/t{image}_boxes"], golden[f"{case}/t{image}_masks_packed"].numpy()
        masks = torch.from_numpy(np.unpackbits(packed, axis=-1))
        targets.append(Target(torch.zeros(len(boxes), dtype=torch.int64), boxes, masks, image))
    return targets


def golden_outputs(golden: Arrays, names: list[str]) -> tuple[list[Outputs], list[Tensor]]:
    """Outputs of some layers whose mask logits are given: the map holds those of all, a query's vector is one-hot."""
    masks = [golden[f"{name}/pred_masks"].requires_grad_() for name in names]
    num_queries, features = masks[0].shape[1], list(torch.cat(masks, 1))
    outputs = []
    for name, embeds in zip(names, torch.eye(num_queries * len(names)).split(num_queries), strict=True):
        logits, boxes = (golden[f"{name}/pred_{field}"].requires_grad_() for field in ("logits", "boxes"))
        queries = torch.zeros(2, num_queries, 1)
        outputs.append(Outputs(logits, boxes, queries, embeds.expand(2, -1, -1), features))
    return outputs, masks


@pytest.mark.parametrize("case", ["both", "one_empty"])
def test_criterion_and_its_gradients(case: str, monkeypatch: pytest.MonkeyPatch):
    golden = Arrays("e_criterion_small.npz")
    assert list(LAYERS) == ["", "_0", "_1", "_enc"]
    layers, masks = golden_outputs(golden, [f"{case}/{name}" for name in LAYERS.values()])
    outputs = layers[0]
    outputs.aux_outputs, outputs.enc_outputs = tuple(layers[1:3]), layers[3]
    targets = golden_targets(golden, case)
    replay_points(monkeypatch, [golden[f"{case}/coords{number}"] for number in range(len(LAYERS))], targets)
    config = CriterionConfig(num_points=256)
    num_boxes = max(1.0, float(sum(map(len, targets))))
    losses, _ = Criterion(config)(outputs, targets, num_boxes)
    weights = vars(config.weight_dict)
    for name, value in losses.items():
        kind = "_".join(name.split("_")[:2])
        assert_close(value / weights[kind], golden[f"{case}/u/{name}"], 2e-6)
    torch.stack(list(losses.values())).sum().backward()
    for name, layer, layer_masks in zip(LAYERS.values(), layers, masks, strict=True):
        for field, tensor in (("logits", layer.pred_logits), ("boxes", layer.pred_boxes), ("masks", layer_masks)):
            assert_close(tensor.grad, golden[f"{case}/{name}/pred_{field}_grad"], 2e-6)


def test_point_sampler(monkeypatch: pytest.MonkeyPatch):
    golden = Arrays("e_point_sampler.npz")
    drawn = iter([golden["rand_first"], golden["rand_second"]])
    replayed = SimpleNamespace(**vars(torch))
    replayed.rand = lambda *_, **__: next(drawn)
    monkeypatch.setattr(points_module, "torch", replayed)
    logits = golden["logits"][:, 0]
    points = draw_uncertain_points(logits, 200, 3.0, 0.75)
    assert_close(points, golden["coords"], 1e-6)
    assert_close(sample_at_points(logits, points), golden["sampled"][:, 0], 1e-6)


def test_position_embeddings():
    golden = Arrays("g_embed.npz")
    ours = embed_cells(golden["pe_mask"], 256).permute(0, 3, 1, 2)
    assert_close(ours, golden["pe_out"], 1e-5)
    assert_close(embed_boxes(golden["sine_in"], 256), golden["sine_out"], 1e-5)


def test_inverse_sigmoid():
    golden = Arrays("g_embed.npz")
    assert_close(inverse_sigmoid(golden["invsig_in"]), golden["invsig_out"], 1e-6)


def golden_levels(golden: Arrays) -> Levels:
    """Levels of the golden shapes and padding."""
    shapes = golden["spatial_shapes"].tolist()
    maps = list(golden["gen_memory"].split([height * width for height, width in shapes], dim=1))
    maps = [level.transpose(1, 2).unflatten(2, shape) for level, shape in zip(maps, shapes, strict=True)]
    masks = golden["img_masks"]
    sizes = [(int((mask[:, 0] == 0).sum()), int((mask[0] == 0).sum())) for mask in masks]
    return flatten_padded_levels(maps, sizes, (masks.shape[1], masks.shape[2]))


def test_levels_and_their_coordinates():
    golden = Arrays("g_embed.npz")
    levels = golden_levels(golden)
    for level, (sizes, shape) in enumerate(zip(levels.valid_sizes, levels.spatial_shapes, strict=True)):
        assert (padding_mask(sizes, shape, torch.device("cpu")) == golden[f"lvl_mask{level}"]).all()
    assert (levels.padding_mask == golden["gen_mask"]).all()
    assert_close(levels.valid_ratios, golden["valid_ratios"], 1e-6)
    assert_close(levels.reference_points(), golden["reference_points"], 1e-6)
    proposals, usable = levels.proposals()
    reference = golden["gen_out_proposals"]
    assert (proposals.isinf() == reference.isinf()).all()
    assert (usable == ~reference.isinf().any(-1)).all()
    assert_close(proposals[usable], reference[usable], 1e-5)


def core_inputs(golden: Arrays) -> list[Tensor]:
    return [golden[f"core_{name}"].requires_grad_() for name in ("value", "loc", "attn")]


def test_deformable_attention_and_its_gradients():
    golden = Arrays("b_msdeform.npz")
    value, locations, weights = core_inputs(golden)
    shapes = [tuple(shape) for shape in golden["spatial_shapes"].tolist()]
    out = deformable_attention(value, shapes, locations, weights)
    assert_close(out, golden["core_out"], 1e-12)
    out.backward(golden["core_cotangent"])
    for ours, name in ((value, "core_dvalue"), (locations, "core_dloc"), (weights, "core_dattn")):
        assert_close(ours.grad, golden[name], 1e-12)


@pytest.mark.parametrize("kind", ["ref2", "ref4"])
def test_attention_module_and_its_gradients(kind: str):
    golden = Arrays("b_msdeform.npz")
    module = DeformableAttention(256, num_heads=8, num_levels=4, num_points=4, dropout=0.0)
    for key, value in module.state_dict().items():
        value.copy_(fill_value(f"msda.{kind}.{key}", tuple(value.shape)))
    names = ("query", "query_pos", "ref", "value")
    query, position, reference, value = (golden[f"{kind}_{name}"].requires_grad_() for name in names)
    shapes = [tuple(shape) for shape in golden["spatial_shapes"].tolist()]
    out = module(query, position, value, [Span(reference, tuple(shapes), golden[f"{kind}_mask"])])
    assert_close(out, golden[f"{kind}_out"], 1e-5)
    out.backward(golden[f"{kind}_cotangent"])
    for ours, name in ((query, "dquery"), (position, "dpos"), (reference, "dref"), (value, "dvalue")):
        assert_close(ours.grad, golden[f"{kind}_{name}"], 1e-4)
    for key, parameter in module.named_parameters():
        norm = golden[f"{kind}_grad_{key}_norm"].item()
        assert parameter.grad.norm().item() == pytest.approx(norm, rel=1e-4)


def test_proposals_zero_what_cannot_be_chosen():
    """The two-stage step reads zeros where the reference's memory is zeroed, and the memory elsewhere."""
    golden = Arrays("g_embed.npz")
    levels = golden_levels(golden)
    stage = ProposalStage(256)
    stage.output = _Recorder()
    stage([levels], nn.Linear(256, 1), nn.Linear(256, 4), 5)
    _, usable = levels.proposals()
    assert (stage.output.seen[~usable] == 0).all()
    assert (stage.output.seen[usable] == golden["gen_memory"][usable]).all()


class _Recorder(nn.Module):
    def forward(self, cells: Tensor) -> Tensor:
        self.seen = cells
        return cells


class _Averaged(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))
        self.register_buffer("as_half", torch.zeros(4, dtype=torch.float16))
        self.register_buffer("as_double", torch.zeros(4, dtype=torch.float64))


def test_teacher():
    """Weights w0 ... w5 in float32; half and double grow by 0.5 a step, the counter by 1000."""
    golden, student = Arrays("j_ema.npz"), _Averaged((3, 5))
    student.weight.data.copy_(golden["w0"])
    teacher = Teacher(student, momentum=0.999)
    own = teacher.detector.state_dict()
    for step in range(1, 6):
        student.weight.data.copy_(golden[f"w{step}"])
        student.as_half += 0.5
        student.as_double += 0.5
        student.num_batches_tracked += 1000
        teacher.update(student)
        assert_close(own["weight"], golden[f"ema{step}"], 1e-7)
        assert own["num_batches_tracked"] == golden[f"nbt_ema{step}"]
        assert_close(own["as_half"].float(), golden[f"half_ema{step}"].float(), 1e-5)
        assert_close(own["as_double"], golden[f"dbl_ema{step}"], 1e-12)
