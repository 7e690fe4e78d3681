"""Agreement with arrays that the reference implementation computed; `VCLR_SHARED` says where they are."""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vclr.config import CriterionConfig, MatcherConfig
from vclr.engine.teacher import Teacher
from vclr.losses import criterion as criterion_module
from vclr.losses.criterion import Criterion
from vclr.losses.matcher import HungarianMatcher
from vclr.models.attention import DeformableAttention
from vclr.models.levels import flatten_levels
from vclr.models.position import embed_boxes, embed_cells
from vclr.models.proposals import ProposalStage
from vclr.ops import points as points_module
from vclr.ops.boxes import inverse_sigmoid
from vclr.ops.deformable_attention import deformable_attention
from vclr.ops.points import draw_uncertain_points, sample_at_points
from vclr.structures import Outputs, Target

GOLDEN = Path(os.environ.get("VCLR_SHARED", Path(__file__).parents[2] / "shared")) / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs VCLR_SHARED")

LAYERS = {"": "out", "_0": "aux0", "_1": "aux1", "_enc": "enc"}


class Arrays:
    """The arrays of one golden file, as tensors."""

    def __init__(self, name: str) -> None:
        self.arrays = np.load(GOLDEN / name, allow_pickle=False)

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(np.array(self.arrays[key]))

    def __contains__(self, key: str) -> bool:
        return key in self.arrays.files


def assert_close(ours: Tensor, reference: Tensor, tolerance: float = 1e-5) -> None:
    """Compare up to `tolerance` of the largest value."""
    assert ours.shape == reference.shape
    torch.testing.assert_close(ours, reference, rtol=0, atol=tolerance * max(1.0, reference.abs().max().item()))


@pytest.mark.parametrize("case", ["basic", "one_empty", "first_empty", "all_empty", "more_gt_than_q", "three_classes"])
def test_matcher(case: str):
    golden, matcher = Arrays("d_matcher.npz"), HungarianMatcher(MatcherConfig())
    logits, boxes = golden[f"{case}_logits"], golden[f"{case}_boxes"]
    targets = []
    for image in range(2):
        labels, own = golden[f"{case}_t{image}_labels"], golden[f"{case}_t{image}_boxes"]
        targets.append(Target(labels, own, torch.zeros(len(labels), 1, 1), image))
        if len(labels):
            cost = matcher.cost(logits[image], boxes[image], targets[image])
            assert_close(cost, golden[f"{case}_cost{image}"], 1e-6)
    outputs = Outputs(logits, boxes, queries=torch.zeros(*logits.shape[:2], 1))
    for image, (queries, objects) in enumerate(matcher(outputs, targets)):
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


def golden_outputs(golden: Arrays, name: str) -> Outputs:
    """Outputs whose mask logits are given: each query's vector is one-hot, the map holds the logits themselves."""
    masks = golden[f"{name}/pred_masks"].requires_grad_()
    num_queries = masks.shape[1]
    return Outputs(
        pred_logits=golden[f"{name}/pred_logits"].requires_grad_(),
        pred_boxes=golden[f"{name}/pred_boxes"].requires_grad_(),
        queries=torch.zeros(2, num_queries, 1),
        mask_embeds=torch.eye(num_queries).expand(2, -1, -1),
        mask_features=masks,
    )


@pytest.mark.parametrize("case", ["both", "one_empty"])
def test_criterion_and_its_gradients(case: str, monkeypatch: pytest.MonkeyPatch):
    golden = Arrays("e_criterion_small.npz")
    layers = {suffix: golden_outputs(golden, f"{case}/{name}") for suffix, name in LAYERS.items()}
    outputs = layers[""]
    outputs.aux_outputs, outputs.enc_outputs = (layers["_0"], layers["_1"]), layers["_enc"]
    targets = golden_targets(golden, case)
    # The reference's points, drawn in the order of the layers.
    drawn = iter([golden[f"{case}/coords{number}"] for number in range(len(LAYERS))])
    monkeypatch.setattr(criterion_module, "draw_uncertain_points", lambda *_: next(drawn))
    config = CriterionConfig(num_points=256)
    num_boxes = max(1.0, float(sum(map(len, targets))))
    losses, _ = Criterion(config)(outputs, targets, num_boxes, tuple(targets[0].masks.shape[1:]))
    weights = vars(config.weight_dict)
    for name, value in losses.items():
        kind = "_".join(name.split("_")[:2])
        assert_close(value / weights[kind], golden[f"{case}/u/{name}"], 2e-6)
    torch.stack(list(losses.values())).sum().backward()
    for suffix, name in LAYERS.items():
        for field, tensor in (
            ("pred_logits", layers[suffix].pred_logits),
            ("pred_boxes", layers[suffix].pred_boxes),
            ("pred_masks", layers[suffix].mask_features),
        ):
            assert_close(tensor.grad, golden[f"{case}/{name}/{field}_grad"], 2e-6)


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


def golden_levels(golden: Arrays):
    """Levels of the golden shapes and padding."""
    shapes = golden["spatial_shapes"].tolist()
    maps = list(golden["gen_memory"].split([height * width for height, width in shapes], dim=1))
    maps = [level.transpose(1, 2).unflatten(2, shape) for level, shape in zip(maps, shapes, strict=True)]
    return flatten_levels(maps, golden["img_masks"].bool())


def test_levels_and_their_coordinates():
    golden = Arrays("g_embed.npz")
    levels = golden_levels(golden)
    for level, mask in enumerate(levels._masks()):
        assert (mask == golden[f"lvl_mask{level}"]).all()
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


GAINS = {"sampling_offsets.weight": 0.5, "attention_weights.weight": 2.0, "value_proj.weight": 1.0}
GAINS |= {"output_proj.weight": 0.2}


def fill(module: nn.Module, prefix: str) -> None:
    """Fill the weights as the reference's were: seeded by name, scaled by kind."""
    for key, value in module.state_dict().items():
        if key == "sampling_offsets.bias":
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(f"{prefix}{key}".encode()))
        scale = GAINS[key] / math.sqrt(value.shape[1]) if value.dim() > 1 else 0.02
        value.copy_(torch.randn(value.shape, generator=generator) * scale)


@pytest.mark.parametrize("kind", ["ref2", "ref4"])
def test_attention_module_and_its_gradients(kind: str):
    golden = Arrays("b_msdeform.npz")
    module = DeformableAttention(256, num_heads=8, num_levels=4, num_points=4, dropout=0.0)
    fill(module, f"msda.{kind}.")
    names = ("query", "query_pos", "ref", "value")
    query, position, reference, value = (golden[f"{kind}_{name}"].requires_grad_() for name in names)
    shapes = [tuple(shape) for shape in golden["spatial_shapes"].tolist()]
    out = module(query, position, reference, value, shapes, golden[f"{kind}_mask"])
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
    stage(golden["gen_memory"], levels, nn.Linear(256, 1), nn.Linear(256, 4), 5)
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
