"""The objective: detection and teacher-driven losses behind one call."""

from __future__ import annotations

from dataclasses import asdict, make_dataclass, replace

import pytest
import torch
from torch import Tensor

from vclr.catalog.losses import DENOISING_LOSSES, DETECTION_LOSSES, teacher_losses
from vclr.config import CriterionConfig, WeightDict
from vclr.losses import objective
from vclr.losses.consistency import consistency_loss
from vclr.losses.criterion import Criterion
from vclr.losses.matcher import Matching
from vclr.losses.objective import TEACHER_LOSSES, Divisors, Objective
from vclr.structures import Outputs, Target

BOXES = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.7, 0.3, 0.2, 0.2], [0.5, 0.8, 0.3, 0.2]])
TARGETS = [Target(torch.zeros(2, dtype=torch.int64), BOXES[:2], torch.zeros(2, 4, 4, dtype=torch.uint8), 0)]

DIVISORS = Divisors([2.0], {range(1): 2.0})


def make_outputs(seed: int) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    return Outputs(torch.zeros(1, 3, 1), BOXES[None], torch.randn(1, 3, 8, generator=generator))


def compute(config: CriterionConfig) -> dict[str, Tensor]:
    return Objective(config)(make_outputs(0), make_outputs(1), TARGETS, DIVISORS)


def weights(**changes: float) -> CriterionConfig:
    return CriterionConfig(weight_dict=replace(WeightDict(), **changes))


def test_every_weight_is_that_of_a_loss():
    assert set(asdict(WeightDict())) == {*DETECTION_LOSSES, *DENOISING_LOSSES, *TEACHER_LOSSES}


def test_teacher_driven_losses_are_those_with_a_weight_that_are_not_detections():
    given = {"loss_class": 1.0, "loss_consistency": 0.0, "loss_made_up": 0.5}
    assert teacher_losses(given) == ["loss_made_up"]
    assert teacher_losses(vars(WeightDict())) == ["loss_consistency"]


@pytest.mark.parametrize(("weight", "expected"), [(0.0, False), (0.1, True), (float("inf"), True)])
def test_needs_the_teacher_if_a_loss_has_a_weight(weight: float, expected: bool):
    assert Objective(weights(loss_consistency=weight)).needs_teacher is expected


def test_detection_losses_come_from_the_criterion_and_consistency_is_weighted():
    student, teacher, config = make_outputs(0), make_outputs(1), weights(loss_consistency=2.5)
    detection, matching = Criterion(config)(student, TARGETS, 2.0, teacher=teacher)
    expected = {**detection, "loss_consistency": 2.5 * consistency_loss(student, teacher, matching, 2.0)}
    losses = compute(config)
    assert list(losses) == list(expected)
    assert all(torch.equal(losses[name], value) for name, value in expected.items())
    assert losses["loss_consistency"] != 0


def test_identical_queries_give_minus_the_weight():
    outputs = make_outputs(0)
    losses = Objective(weights(loss_consistency=2.5))(outputs, outputs, TARGETS, DIVISORS)
    assert losses["loss_consistency"].item() == pytest.approx(-2.5, abs=1e-6)


def test_without_teacher_driven_losses_there_are_detections_alone():
    losses = Objective(weights(loss_consistency=0.0))(make_outputs(0), None, TARGETS, DIVISORS)
    assert set(losses) == {"loss_class", "loss_bbox", "loss_giou"}


def test_a_second_teacher_driven_loss(monkeypatch: pytest.MonkeyPatch):
    def box_distance(student: Outputs, teacher: Outputs, matching: Matching, num_pairs: float) -> Tensor:
        own, taught = matching.meetings(0, -1)
        distance = student.pred_boxes.flatten(0, 1)[own] - teacher.pred_boxes.flatten(0, 1)[taught]
        return (distance.abs().sum() + 3) / num_pairs

    monkeypatch.setitem(objective.TEACHER_LOSSES, "loss_made_up", box_distance)
    more = make_dataclass("MoreWeights", [("loss_made_up", float, 0.5)], bases=(WeightDict,))
    config = CriterionConfig(weight_dict=more(loss_consistency=0.0))
    assert Objective(config).needs_teacher
    losses = compute(config)
    assert losses["loss_made_up"].item() == pytest.approx(0.5 * 3 / 2)
    assert "loss_consistency" not in losses


def test_groups_are_averaged_each_by_itself():
    """The mean over groups of each group's mean; a group without a pair counts 0."""
    counts = (3, 1, 0, 2)
    masks = torch.zeros(3, 4, 4, dtype=torch.uint8)
    targets = [Target(torch.zeros(n, dtype=torch.int64), BOXES[:n], masks[:n], 0) for n in counts]
    generator = torch.Generator().manual_seed(0)
    student, teacher = (
        Outputs(torch.zeros(4, 3, 1), BOXES.expand(4, -1, -1), torch.randn(4, 3, 8, generator=generator)) for _ in "st"
    )
    cosines = torch.nn.functional.cosine_similarity(student.queries, teacher.queries, dim=-1)
    means = [cosines[0].mean(), cosines[1, 0], torch.zeros(()), cosines[3, :2].mean()]
    divisors = {range(image, image + 1): 4.0 * max(1, count) for image, count in enumerate(counts)}
    losses = Objective(weights())(student, teacher, targets, Divisors([6.0], divisors))
    torch.testing.assert_close(losses["loss_consistency"], -torch.stack(means).mean())
    pairs = Objective(weights())(student, teacher, targets, Divisors([6.0], {range(4): 6.0}))["loss_consistency"]
    assert abs(pairs - losses["loss_consistency"]) > 1e-2
