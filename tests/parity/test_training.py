"""The training step at the published size: losses, matchings, gradients, batch norm, two optimizer steps, schedule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.parity.golden import (
    Arrays,
    assert_near_peak,
    filled_detector,
    load_json,
    parity_config,
    reference_state,
    replay_points,
)
from vclr.config import Config
from vclr.data.batches import collate, pad_masks
from vclr.data.samples import Sample
from vclr.engine.optim import build_optimizer, build_scheduler
from vclr.engine.state import TrainState
from vclr.engine.step import training_step
from vclr.engine.teacher import Teacher
from vclr.losses.consistency import consistency_loss
from vclr.losses.criterion import Criterion
from vclr.losses.matcher import Matching
from vclr.losses.objective import Objective
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.models.reference import UNUSED, reference_keys
from vclr.models.weights import load_weights
from vclr.ops.boxes import xyxy_to_cxcywh
from vclr.structures import Batch, Target

# The reference pads a batch so, and blends nothing into the student's image in these files.
COMPAT = ["compat.padding=True", "views.corrupt={mix: False, erase: False, grayscale: False}"]


def golden_batch(golden: Arrays) -> Batch:
    """Two images of different sizes with three and two objects."""
    samples = []
    for number in range(2):
        image, masks = golden[f"image{number}"], golden[f"gt_masks{number}_packed"].numpy()
        height, width = image.shape[1:]
        boxes = xyxy_to_cxcywh(golden[f"gt_boxes{number}"].float() / torch.tensor([width, height, width, height]))
        target = Target(
            labels=torch.zeros(len(boxes), dtype=torch.int64),
            boxes=boxes,
            masks=torch.from_numpy(np.unpackbits(masks, axis=-1, count=width)),
            image_id=number,
        )
        samples.append(Sample(image, golden[f"image_rgb{number}"], target, "depth"))
    return collate(samples)


class Step:
    """One step without an update, and everything that it computed."""

    def __init__(self, config: Config, student: Detector, teacher: Teacher, batch: Batch) -> None:
        size = batch.images.shape[2], batch.images.shape[3]
        targets = [pad_masks(target, size) for target in batch.targets]
        num_boxes = float(sum(len(target) for target in targets))
        student.train()
        student.pads_like_reference = teacher.detector.pads_like_reference = True
        self.outputs = student(student.normalize(batch.images, batch.image_sizes), batch.image_sizes)
        self.taught = teacher(student.normalize(batch.teacher_images, batch.image_sizes), batch.image_sizes)
        criterion, weights = Criterion(config.model.criterion), config.model.criterion.weight_dict
        self.losses, self.matching = criterion(self.outputs, targets, num_boxes, teacher=self.taught)
        consistency = consistency_loss(self.outputs, self.taught, self.matching, num_boxes)
        self.losses["loss_consistency"] = weights.loss_consistency * consistency
        self.total = torch.stack(list(self.losses.values())).sum()
        self.total.backward()
        self.targets = targets


CASES = {"full_dn0_copy": "full_dn0_copy", "small_dn0_copy": "small_dn0_copy", "small_dn0_blend": "small_dn0_copy"}


@pytest.fixture(scope="module", params=CASES)
def step(request: pytest.FixtureRequest) -> tuple[Arrays, Detector, Step]:
    golden, inputs = Arrays(f"ef_loss_{request.param}.npz"), Arrays(f"ef_loss_{CASES[request.param]}.npz")
    is_small, batch = request.param.startswith("small"), golden_batch(inputs)
    config, student = parity_config(is_small, *COMPAT), filled_detector(is_small)
    teacher = Teacher(student, 0.999)
    if request.param.endswith("blend"):
        other = reference_state(is_small, salt="ema/")
        state = teacher.detector.state_dict()
        for key, name in reference_keys(student).items():
            if state[key].is_floating_point():
                state[key].mul_(0.9).add_(other[name], alpha=0.1)
    with pytest.MonkeyPatch.context() as patch:
        replay_points(patch, drawn_points(inputs, num_layers=3 if is_small else 7), batch.targets)
        return golden, student, Step(config, student, teacher, batch)


def drawn_points(golden: Arrays, num_layers: int) -> list[Tensor]:
    """Draw the reference's points again: the file says which of the random candidates it chose for each mask."""
    generator = torch.Generator().manual_seed(1234)
    layers = []
    for layer in range(num_layers):
        candidates, uniform = (torch.rand(5, count, 2, generator=generator) for count in (37632, 3136))
        chosen = torch.from_numpy(np.unpackbits(golden[f"chosen{layer}"].numpy(), axis=-1)).bool()
        layers.append(torch.cat([candidates[chosen].view(5, -1, 2), uniform], 1))
    return layers


def test_losses(step: tuple[Arrays, Detector, Step]):
    golden, _, own = step
    names = {"loss_sim": "loss_consistency"}
    for name in golden.names("w/"):
        ours = own.losses[names.get(name, name)].detach()
        torch.testing.assert_close(
            ours, golden[f"w/{name}"], rtol=1e-5, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}"
        )
    assert {names.get(name, name) for name in golden.names("w/")} == own.losses.keys()
    torch.testing.assert_close(own.total.detach(), golden["total"], rtol=1e-5, atol=0)


def test_matchings(step: tuple[Arrays, Detector, Step]):
    golden, _, own = step
    num_layers = 2 + len(own.outputs.aux_outputs)
    for number in range(num_layers):
        assert_matching(own.matching, number, golden, f"match{number}")
    assert_matching(own.matching, 0, golden, "cons_student")
    assert_matching(own.matching, num_layers, golden, "cons_teacher")


def assert_matching(matching: Matching, layer: int, golden: Arrays, name: str) -> None:
    for image in range(len(matching.num_pairs)):
        queries, objects = matching.of_image(layer, image)
        expected = zip(golden[f"{name}_i{image}"].tolist(), golden[f"{name}_j{image}"].tolist(), strict=True)
        assert sorted(zip(queries.tolist(), objects.tolist(), strict=True)) == sorted(expected)


def test_outputs_of_student_and_teacher(step: tuple[Arrays, Detector, Step]):
    golden, _, own = step
    if "student_logits" not in golden:
        return
    for name, outputs in (("student", own.outputs), ("teacher", own.taught)):
        assert_near_peak(outputs.pred_logits.detach(), golden[f"{name}_logits"], 1e-4)
        assert_near_peak(outputs.pred_boxes.detach(), golden[f"{name}_boxes"], 1e-4)
    assert own.taught.mask_features is None


def test_gradients(step: tuple[Arrays, Detector, Step]):
    golden, student, _ = step
    gradients = {name: parameter.grad for name, parameter in student.named_parameters()}
    for ours, name in reference_keys(student).items():
        if name in golden.names("gnorm/"):
            assert gradients[ours].double().norm().item() == pytest.approx(golden[f"gnorm/{name}"].item(), rel=1e-3), (
                name
            )
    for name in golden.names("gnorm/"):
        if name.startswith(tuple(UNUSED)):
            assert golden[f"gnorm/{name}"] <= 0, "the reference trains what ours leaves out"
    total = torch.stack([gradient.double().norm() for gradient in gradients.values() if gradient is not None]).norm()
    assert total.item() == pytest.approx(golden["gnorm_total"].item(), rel=1e-3)


def test_batch_norm_moves_once(step: tuple[Arrays, Detector, Step]):
    golden, student, _ = step
    norm = student.mask_branch.mapping[1]
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert_near_peak(getattr(norm, name), golden[f"bn/mapping_fpn_features_for_seg.1.{name}"], 1e-5)


def test_the_rest_has_no_gradient_in_the_reference():
    detector, zero = filled_detector(is_small=True), load_json("state_dict_keys.json")["zero_gradient"]
    assert all(name.startswith(tuple(UNUSED)) for name in zero)
    assert not set(zero) & set(reference_keys(detector).values())


# --- two optimizer steps ---------------------------------------------------------------------------------------------

# The batch norm after it takes any constant away again: its gradient is rounding noise.
NOISE = "mapping_fpn_features_for_seg.0.bias"


@contextmanager
def in_double() -> Iterator[None]:
    """Compute in float64 what asks for float32: AdamW's first steps make whole updates of rounding noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "float32", torch.float64)
        patch.setattr(Tensor, "float", Tensor.double)
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


@pytest.mark.slow
def test_two_optimizer_steps_with_teacher(monkeypatch: pytest.MonkeyPatch):
    golden, inputs = Arrays("two_steps_small_float64.npz"), Arrays("ef_loss_small_dn0_copy.npz")
    config = parity_config(True, *COMPAT, "model.criterion.num_points=256")
    state = TrainState(config, torch.device("cpu"))
    for detector in (state.student, state.teacher.detector):
        load_weights(detector, reference_state(is_small=True))
        detector.double()
        for name in ("pixel_mean", "pixel_std"):  # float32 rounded them
            exact = torch.tensor(getattr(config.model, name), dtype=torch.float64)
            getattr(detector, name).copy_(exact.view(3, 1, 1))
    before = {key: value.clone() for key, value in state.student.state_dict().items()}
    objective = Objective(config.model.criterion)
    with in_double():
        batch = golden_batch(inputs)
        for number in range(2):
            points = [golden[f"step{number}/coords{layer}"] for layer in range(3)]
            replay_points(monkeypatch, points, batch.targets)
            losses = training_step(state, batch, objective)
            for name, value in losses.items():
                expected = golden[f"step{number}/w/{'loss_sim' if name == 'loss_consistency' else name}"]
                assert value == pytest.approx(expected.item(), rel=1e-9), f"step {number}: {name}"
    for kind, detector in (("student", state.student), ("ema", state.teacher.detector)):
        assert_changes(detector.state_dict(), before, reference_keys(detector), golden, kind)
    assert state.student.mask_branch.mapping[1].num_batches_tracked == 2
    assert state.teacher.detector.mask_branch.mapping[1].num_batches_tracked == 0, "cut to whole numbers"


def assert_changes(
    after: dict[str, Tensor], before: dict[str, Tensor], keys: dict[str, str], golden: Arrays, kind: str
) -> None:
    """Compare how much each weight moved, and eight of its numbers."""
    rows = {name: row for row, name in enumerate(golden.arrays["names"].tolist())}
    norms, numbers, positions = golden[f"{kind}_change_norm"], golden[f"{kind}_change8"], golden["positions"]
    for ours, name in keys.items():
        if name == NOISE:
            continue
        change, row = (after[ours] - before[ours]).double().flatten(), rows[name]
        assert change.norm().item() == pytest.approx(norms[row].item(), rel=1e-6, abs=1e-15), name
        torch.testing.assert_close(change[positions[row]], numbers[row], rtol=1e-6, atol=1e-13)


# --- optimizer and schedule ------------------------------------------------------------------------------------------


def test_parameter_groups_and_their_decay():
    golden, detector = load_json("i_schedule_optim.json"), build_model(parity_config())
    optimizer = build_optimizer(detector, parity_config().optimizer)
    keys = reference_keys(detector)
    names = {id(parameter): keys[name] for name, parameter in detector.named_parameters()}
    ours = {
        (group["lr"], group["weight_decay"]): {names[id(parameter)] for parameter in group["params"]}
        for group in optimizer.param_groups
    }
    reference = {
        (group["lr"], group["weight_decay"]): {name for name in group["names"] if not name.startswith(tuple(UNUSED))}
        for group in golden["param_groups"]
    }
    assert ours == reference
    assert [len(group["names"]) for group in golden["param_groups"]] == [52, 329, 76]
    for group in optimizer.param_groups:
        assert list(group["betas"]) == golden["defaults"]["betas"]
        assert group["eps"] == golden["defaults"]["eps"]


def test_learning_rate_at_every_iteration():
    golden, weight = load_json("i_schedule_optim.json"), torch.nn.Parameter(torch.zeros(1))
    config = parity_config()
    assert config.train.max_iter == golden["max_iter"]
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = build_scheduler(optimizer, config.optimizer)
    factor = scheduler.lr_lambdas[0]
    for iteration, expected in golden["lr_used_at_iteration"].items():
        assert factor(int(iteration)) == expected
    # As the scheduler of the reference rounds the share of the training that is done.
    curve = golden["lr_multiplier_5ep"]
    for where, expected in zip(curve["where"], curve["value"], strict=True):
        assert factor(int((where + 1e-6) * config.train.max_iter)) == pytest.approx(expected), where


def test_loss_weights_and_clipping():
    golden, config = load_json("i_schedule_optim.json"), parity_config()
    weights = {key: value for key, value in golden["loss_weight_dict"].items() if "_dn" not in key}
    for name, value in weights.items():
        kind = "_".join(name.split("_")[:2])
        assert getattr(config.model.criterion.weight_dict, kind) == value
    assert all(value == 0 for key, value in golden["loss_weight_dict"].items() if "_dn" in key)
    assert config.train.clip_grad.params.max_norm == golden["clip_grad"]["max_norm"]
    assert config.train.clip_grad.params.norm_type == golden["clip_grad"]["norm_type"]
