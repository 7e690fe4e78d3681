"""Two losses: annotations and proposals are matched apart, each with detection losses of its own."""

from __future__ import annotations

import pytest
import torch

from tests.losses.test_criterion import NAMES, draw_outputs, make_target
from vclr.config import ConsistencyConfig, CriterionConfig, TwoLossesConfig, WeightDict
from vclr.losses.consistency import consistency_loss
from vclr.losses.criterion import Criterion, Losses
from vclr.losses.objective import Divisors, Objective
from vclr.structures import Outputs, Target
from vclr.tracking.points import points_of

LAYERS = ("", "_0", "_enc")
OF_ANNOTATIONS = {name + layer for name in NAMES for layer in LAYERS}
OF_PROPOSALS = {f"{name}_proposals{layer}" for name in NAMES for layer in LAYERS}


def make_config(annotations: float = 1.0, proposals: float = 1.0, consistency: float = 0.0, objects: str = "all"):
    return CriterionConfig(
        num_points=32,
        weight_dict=WeightDict(loss_consistency=consistency),
        two_losses=TwoLossesConfig(True, annotations, proposals),
        consistency=ConsistencyConfig(objects=objects),
    )


def make_targets(*kinds: list[bool]) -> list[Target]:
    targets = [make_target(len(of_image)) for of_image in kinds]
    for target, of_image in zip(targets, kinds, strict=True):
        target.is_proposal = torch.tensor(of_image, dtype=torch.bool)
    return targets


TARGETS = make_targets([False, True, True], [True, False])


def compute(config: CriterionConfig, outputs: Outputs, targets: list[Target], teacher: Outputs | None = None) -> Losses:
    objective = Objective(config)
    divisors = Divisors([float(2 + number) for number, _ in enumerate(objective.parts)], {range(len(targets)): 5.0})
    generators = [torch.Generator().manual_seed(number) for number, _ in enumerate(targets)]
    return objective(outputs, teacher, targets, divisors, generators, objective.read_kinds(targets))


@pytest.mark.parametrize(("annotations", "proposals"), [(1.0, 1.0), (0.5, 3.0), (2.0, 0.0), (0.0, 1.0)])
def test_each_is_the_loss_of_its_objects_alone(annotations: float, proposals: float):
    outputs = draw_outputs()
    losses = compute(make_config(annotations, proposals), outputs, TARGETS)
    expected, divisor = {}, 2.0
    generators = [torch.Generator().manual_seed(number) for number, _ in enumerate(TARGETS)]
    for factor, is_proposal, suffix in ((annotations, False, ""), (proposals, True, "_proposals")):
        if not factor:
            continue
        own = [target.take((target.is_proposal == is_proposal).nonzero().flatten()) for target in TARGETS]
        assert [len(target) for target in own] == ([2, 1] if is_proposal else [1, 1])
        alone, _ = Criterion(CriterionConfig(num_points=32))(outputs, own, divisor, generators)
        for name, value in alone.items():
            kind = next(kind for kind in NAMES if name.startswith(kind))
            expected[name.replace(kind, kind + suffix)] = factor * value
        divisor += 1
    assert losses.keys() == expected.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])


def test_a_query_that_the_other_loss_matches_is_background():
    """One image with one object of each kind: every loss has one query with label 1."""
    outputs = draw_outputs(b=1)
    losses = compute(make_config(), outputs, make_targets([False, True]))
    assert set(losses) == OF_ANNOTATIONS | OF_PROPOSALS
    both, _ = Criterion(CriterionConfig(num_points=32))(outputs, make_targets([False, True]), 1.0)
    background, _ = Criterion(CriterionConfig(num_points=32))(outputs, make_targets([]), 1.0)
    sum_of_two = 2 * losses["loss_class"] + 3 * losses["loss_class_proposals"]
    torch.testing.assert_close(sum_of_two, both["loss_class"] + background["loss_class"])


@pytest.mark.parametrize("kinds", [([False], [True]), ([False], []), ([True, True], []), ([], [])], ids=str)
@pytest.mark.parametrize("objects", ["all", "annotations", "proposals"])
def test_images_without_one_kind_are_finite_and_reach_everything(kinds: tuple[list[bool], ...], objects: str):
    outputs, teacher = draw_outputs(), draw_outputs()
    outputs.queries.requires_grad_()
    objective = Objective(make_config(consistency=1.0, objects=objects))
    targets = make_targets(*kinds)
    own = objective.read_kinds(targets)
    counts = objective.count(targets, own, 6)
    pairs = [{range(2): max(1.0, sum(of_images))} for of_images in counts.pairs]
    losses = objective(outputs, teacher, targets, Divisors([1.0, 1.0], *pairs), None, own)
    assert set(losses) == OF_ANNOTATIONS | OF_PROPOSALS | {"loss_consistency"}
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(losses[f"loss_bbox{layer}"] == 0 for layer in LAYERS if not sum(not kind for k in kinds for kind in k))
    for layer in (outputs, *outputs.aux_outputs, outputs.enc_outputs):
        for tensor in (layer.pred_logits, layer.pred_boxes, layer.mask_embeds, *layer.mask_features):
            assert tensor.grad is not None and tensor.grad.isfinite().all()
    assert outputs.queries.grad is not None


def test_consistency_is_summed_over_both_matchings():
    outputs, teacher = draw_outputs(), draw_outputs(num_aux=0)
    teacher.queries = torch.randn_like(teacher.queries)
    losses = compute(make_config(consistency=2.0), outputs, TARGETS, teacher)
    expected = 0.0
    for is_proposal in (False, True):
        own = [target.take((target.is_proposal == is_proposal).nonzero().flatten()) for target in TARGETS]
        _, matching = Criterion(CriterionConfig(num_points=32))(outputs, own, 1.0, teacher=teacher)
        expected += 2 * consistency_loss(outputs, teacher, matching, 5.0)
    torch.testing.assert_close(losses["loss_consistency"], expected)


def test_objects_without_a_detection_loss_can_still_be_compared():
    """They are matched if the consistency loss needs it, and only then."""
    matching_only = Objective(make_config(proposals=0.0, consistency=1.0))
    assert [part.suffix for part in matching_only.parts] == ["", "_proposals"]
    assert set(compute(make_config(proposals=0.0, consistency=1.0), draw_outputs(), TARGETS, draw_outputs())) == (
        OF_ANNOTATIONS | {"loss_consistency"}
    )
    for config in (make_config(proposals=0.0), make_config(proposals=0.0, consistency=1.0, objects="annotations")):
        assert [part.suffix for part in Objective(config).parts] == [""]


def test_mlflow_gets_the_last_layers_losses_of_both_kinds():
    record = {"kind": "train", "iteration": 1, **dict.fromkeys(OF_ANNOTATIONS | OF_PROPOSALS, 1.0)}
    assert {point.key for point in points_of(record)} == {
        f"train/{name}{suffix}" for name in NAMES for suffix in ("", "_proposals")
    }
