"""One training step on batches that the reference cannot take: empty images, lost objects, objects of one pixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from vclr.config import Config
from vclr.data.batches import collate
from vclr.data.samples import Sample
from vclr.engine.state import TrainState
from vclr.engine.step import training_step
from vclr.losses.objective import Objective
from vclr.structures import Batch, Size, Target

MakeConfig = Callable[..., Config]


def make_sample(size: Size, boxes: list[list[float]], seed: int = 0) -> Sample:
    """An image of noise with objects of the given xyxy pixels; their masks fill them."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[math.ceil(top) : math.ceil(bottom), math.ceil(left) : math.ceil(right)] = 1
    corners = torch.tensor(boxes).view(-1, 4)
    normalized = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
    normalized = normalized / torch.tensor([size[1], size[0]] * 2)
    target = Target(torch.zeros(len(boxes), dtype=torch.int64), normalized, masks, seed)
    return Sample(images[0], images[1], target, "depth")


BOX = [10.0, 12.0, 40.0, 30.0]
PRECISIONS = {
    "float32": [],
    "bfloat16": ["train.amp.enabled=True", "train.amp.dtype=bfloat16"],
    "float16": ["train.amp.enabled=True", "train.amp.dtype=float16"],
}
SIZES = {"one size": ((64, 64), (64, 64)), "different sizes": ((64, 64), (40, 56))}
BATCHES = {
    "an empty image beside another": [make_sample((64, 64), [BOX]), make_sample((64, 64), [], 1)],
    "only empty images": [make_sample((64, 64), []), make_sample((40, 56), [], 1)],
    "objects of one pixel": [make_sample((64, 64), [[3, 3, 4, 4], [63, 63, 64, 64]]), make_sample((50, 64), [BOX], 1)],
    "an object too thin for its mask": [make_sample((64, 64), [[3.2, 3, 3.6, 40]])],
    "objects that fill the image": [make_sample((33, 47), [[0, 0, 47, 33]] * 3)],
    "sides that nothing divides": [make_sample((61, 37), [BOX]), make_sample((43, 59), [BOX], 1)],
    "images of one pixel's height": [make_sample((1, 64), [[2, 0, 9, 1]]), make_sample((64, 1), [], 1)],
    "more objects than queries": [make_sample((64, 64), [BOX] * 30)],
}


def take_step(config: Config, batch: Batch) -> tuple[TrainState, dict[str, float]]:
    state = TrainState(config, torch.device("cpu"))
    objective = Objective(config.model.criterion)
    return state, training_step(state, batch, objective)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("padding", ["True", "False"], ids=["padding as in the reference", "padding apart"])
@pytest.mark.parametrize("name", BATCHES)
def test_every_batch_can_be_trained_on(name: str, padding: str, dtype: str, make_config: MakeConfig):
    corrupt = "views.corrupt={mix: True, erase: True, grayscale: True}"
    config = make_config(f"compat.padding={padding}", corrupt, *PRECISIONS[dtype])
    state, losses = take_step(config, collate(BATCHES[name]))
    assert all(map(math.isfinite, losses.values()))
    assert all(value.isfinite().all() for value in state.student.state_dict().values())
    assert state.iteration == 1
    if "only empty" in name:
        assert losses["loss_consistency"] == losses["loss_bbox"] == losses["loss_dice"] == 0
        assert losses["loss_class"] > 0


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_padding_changes_no_loss_of_an_image_alone_but_the_references_does(dtype: str, make_config: MakeConfig):
    """A large empty image beside it pads an image; only its own objects count in the box losses."""
    small, large = make_sample((40, 48), [BOX]), make_sample((96, 96), [], 1)
    boxes = {}
    for padding in ("False", "True"):
        config = make_config(f"compat.padding={padding}", *PRECISIONS[dtype])
        alone, beside = (take_step(config, collate(samples))[1]["loss_bbox"] for samples in ([small], [small, large]))
        boxes[padding] = abs(alone - beside) / alone
    assert boxes["False"] < 1e-4
    assert boxes["True"] > 1e-3


def draw_batch(sizes: str) -> Batch:
    return collate([make_sample(size, [BOX], seed) for seed, size in enumerate(SIZES[sizes])])


@pytest.mark.parametrize("micro_batch_size", [0, 1])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("sizes", SIZES)
def test_mixed_precision_step_is_near_float32(sizes: str, dtype: str, micro_batch_size: int, make_config: MakeConfig):
    batch, at_once = draw_batch(sizes), f"train.micro_batch_size={micro_batch_size}"
    state, exact = take_step(make_config(at_once), batch)
    other, near = take_step(make_config(at_once, *PRECISIONS[dtype]), batch)
    assert sum(near.values()) == pytest.approx(sum(exact.values()), rel=0.05)
    assert exact != near
    # What the batch norm remembers is measured in float32, of maps that are not.
    for name in ("running_mean", "running_var"):
        ours, theirs = (getattr(one.student.mask_branch.mapping[1], name) for one in (other, state))
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("sizes", SIZES)
def test_recomputed_activations_change_no_loss(sizes: str, dtype: str, make_config: MakeConfig):
    """The teacher, which takes no gradient, passes through the same layers."""
    batch = draw_batch(sizes)
    recompute = [f"model.transformer.{part}.use_checkpoint=True" for part in ("encoder", "decoder")]
    plain, recomputed = (take_step(make_config(*PRECISIONS[dtype], *more), batch) for more in ((), recompute))
    assert plain[1] == recomputed[1]
    for one, other in zip(plain[0].student.parameters(), recomputed[0].student.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("sizes", SIZES)
def test_a_loss_that_is_not_finite_leaves_the_weights(sizes: str, dtype: str, make_config: MakeConfig):
    batch, config = draw_batch(sizes), make_config(*PRECISIONS[dtype])
    batch.targets[1].boxes[0, 0] = math.nan
    state = TrainState(config, torch.device("cpu"))
    before = {key: value.clone() for key, value in state.student.state_dict().items()}
    objective = Objective(config.model.criterion)
    with pytest.raises(FloatingPointError, match=r"iteration 0: loss_bbox.* not finite on images 0, 1"):
        training_step(state, batch, objective)
    assert all(torch.equal(value, before[key]) for key, value in state.student.state_dict().items())
    assert all(parameter.grad is None for parameter in state.student.parameters())
    assert state.iteration == 0


def test_a_step_that_the_gradient_scaler_skips_has_no_gradient_norm(make_config: MakeConfig):
    config, batch = make_config(*PRECISIONS["float16"]), draw_batch("one size")
    state, objective = TrainState(config, torch.device("cpu")), Objective(config.model.criterion)
    norms = []
    for scale in (1.0, 2.0**100, 1.0):
        state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": scale})
        before = [parameter.detach().clone() for parameter in state.student.parameters()]
        training_step(state, batch, objective)
        is_moved = not all(map(torch.equal, before, state.student.parameters()))
        assert is_moved == (state.grad_norm is not None)
        norms.append(state.grad_norm)
    assert norms[1] is None
    assert norms[0] is not None and norms[2] is not None
