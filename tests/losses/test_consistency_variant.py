"""Variants of the consistency loss: each equals a plain loop over objects, and reaches the student's features alone."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from vclr.config import ConsistencyConfig, CriterionConfig, TwoLossesConfig, WeightDict
from vclr.losses.consistency_variant import ConsistencyVariant, alone
from vclr.losses.criterion import Criterion
from vclr.losses.functional import mean_in_masks
from vclr.losses.matcher import HungarianMatcher
from vclr.losses.objective import Divisors, Objective
from vclr.structures import Outputs, Target

WEIGHT, TEMPERATURE = 2.5, 0.5
# Per image: which objects are proposals. The last has more objects than queries.
KINDS = ([False, True, False], [True], [], [False, False, True, True, False, True, False])
NUM_QUERIES = 6


def draw_outputs(seed: int) -> Outputs:
    """Outputs of two layers, whose queries and memory are leaves."""
    generator = torch.Generator().manual_seed(seed)

    def layer() -> Outputs:
        logits = torch.randn(len(KINDS), NUM_QUERIES, 1, generator=generator)
        boxes = torch.rand(len(KINDS), NUM_QUERIES, 4, generator=generator) * 0.4 + 0.2
        return Outputs(logits, boxes, torch.randn(len(KINDS), NUM_QUERIES, 5, generator=generator).requires_grad_())

    memory = [torch.randn(5, 4, 6, generator=generator).requires_grad_() for _ in KINDS]
    return replace(layer(), aux_outputs=(layer(),), enc_outputs=layer(), memory=memory)


def make_targets() -> list[Target]:
    generator = torch.Generator().manual_seed(7)
    targets = []
    for number, kinds in enumerate(KINDS):
        boxes = torch.rand(len(kinds), 4, generator=generator) * 0.4 + 0.2
        masks = (torch.rand(len(kinds), 16, 24, generator=generator) < 0.3).to(torch.uint8)
        labels = torch.zeros(len(kinds), dtype=torch.int64)
        targets.append(Target(labels, boxes, masks, number, torch.tensor(kinds, dtype=torch.bool)))
    return targets


def find_divisors(objective: Objective, targets: list[Target], groups: list[range]) -> Divisors:
    """As the step of a single process does."""
    counts = objective.count(targets, objective.read_kinds(targets), NUM_QUERIES)
    pairs = [
        {images: len(groups) * max(1.0, sum(of_images[image] for image in images)) for images in groups}
        for of_images in counts.pairs
    ]
    return Divisors([max(1.0, sum(counts)) for counts in counts.boxes], *pairs)


def compute(
    student: Outputs, teacher: Outputs, two_losses: bool = False, groups: list[range] | None = None, **settings: object
) -> Tensor:
    """Return the weighted consistency loss of the objective."""
    config = CriterionConfig(
        weight_dict=WeightDict(loss_consistency=WEIGHT),
        two_losses=TwoLossesConfig(enabled=two_losses),
        consistency=ConsistencyConfig(**settings),
    )
    objective, targets = Objective(config), make_targets()
    divisors = find_divisors(objective, targets, groups or [range(len(KINDS))])
    return objective(student, teacher, targets, divisors, None, objective.read_kinds(targets))["loss_consistency"]


def find_queries(layer: Outputs, image: int, target: Target, two_losses: bool) -> dict[int, int]:
    """Return the query of each object of an image that has one."""
    together = [~target.is_proposal, target.is_proposal] if two_losses else [torch.ones(len(target), dtype=torch.bool)]
    found = {}
    for chosen in (flags.nonzero().flatten() for flags in together):
        logits, boxes = layer.pred_logits[None, image : image + 1], layer.pred_boxes[None, image : image + 1]
        matching = HungarianMatcher(CriterionConfig().matcher)(logits, boxes, [target.take(chosen)])
        queries, objects = matching.of_image(0, 0)
        found |= {int(chosen[number]): int(query) for number, query in zip(objects, queries, strict=True)}
    return found


def plain_pairs(student: Outputs, teacher: Outputs, objects: str, two_losses: bool) -> list[tuple[int, int, int]]:
    """Return (image, query of the student, query of the teacher) of each compared object."""
    pairs = []
    for image, target in enumerate(make_targets()):
        own, taught = (find_queries(layer, image, target, two_losses) for layer in (student, teacher))
        for number, is_proposal in enumerate(target.is_proposal.tolist()):
            is_chosen = objects in ("all", "proposals" if is_proposal else "annotations")
            if is_chosen and number in own and number in taught:
                pairs.append((image, own[number], taught[number]))
    return pairs


def count_divisor(objects: str, two_losses: bool) -> int:
    """Count the objects that have a query, unless student and teacher leave out different ones."""
    divisor = 0
    for kinds in KINDS:
        chosen = {"annotations": [len(kinds) - sum(kinds)], "proposals": [sum(kinds)], "all": [len(kinds)]}[objects]
        if two_losses and objects == "all":
            chosen = [sum(kinds), len(kinds) - sum(kinds)]
        divisor += sum(min(count, NUM_QUERIES) for count in chosen)
    return divisor


def plain_loss(own: list[Tensor], taught: list[Tensor], kind: str) -> Tensor:
    """Sum up the losses of pairs, one by one."""
    losses = []
    for number, (one, other) in enumerate(zip(own, taught, strict=True)):
        if kind == "cosine":
            losses.append(-(one @ other) / (one.norm() * other.norm()))
        elif kind == "l2":
            losses.append(((one - other) ** 2).sum() / len(one))
        else:
            cosines = [(one @ key / (one.norm() * key.norm())).item() / TEMPERATURE for key in taught]
            losses.append(torch.tensor(math.log(sum(map(math.exp, cosines))) - cosines[number]))
    return torch.stack(losses).sum()


@pytest.mark.parametrize(
    ("kind", "layers", "objects", "two_losses"),
    [*product(("cosine", "l2", "contrastive"), ("last", "all"), ("all", "annotations", "proposals"), (False, True))],
)
def test_queries_are_compared_as_in_a_plain_loop(kind: str, layers: str, objects: str, two_losses: bool):
    student, teacher = draw_outputs(0), draw_outputs(1)
    settings = {"kind": kind, "layers": layers, "objects": objects}
    if kind == "contrastive":
        settings["temperature"] = TEMPERATURE
    loss = compute(student, teacher, two_losses, **settings)
    loss.backward()
    compared = [(student, teacher)]
    if layers == "all":
        compared += zip(student.aux_outputs, teacher.aux_outputs, strict=True)
    expected = []
    for own, taught in compared:
        pairs = plain_pairs(own, taught, objects, two_losses)
        features = [own.queries[image, query] for image, query, _ in pairs]
        keys = [taught.queries[image, query] for image, _, query in pairs]
        expected.append(plain_loss(features, keys, kind) / count_divisor(objects, two_losses))
        reached = (own.queries.grad != 0).any(-1).nonzero().tolist()
        assert sorted({(image, query) for image, query, _ in pairs}) == [tuple(place) for place in reached]
        assert taught.queries.grad is None
    torch.testing.assert_close(loss, WEIGHT * torch.stack(expected).mean())
    if layers == "last":
        assert student.aux_outputs[0].queries.grad is None
    assert student.memory[0].grad is None


@pytest.mark.parametrize("objects", ["all", "annotations", "proposals"])
@pytest.mark.parametrize("kind", ["cosine", "l2", "contrastive"])
@pytest.mark.parametrize("two_losses", [False, True])
def test_memory_is_compared_at_the_objects(kind: str, objects: str, two_losses: bool):
    student, teacher, targets = draw_outputs(0), draw_outputs(1), make_targets()
    temperature = {"temperature": TEMPERATURE} if kind == "contrastive" else {}
    loss = compute(student, teacher, two_losses, kind=kind, features="memory", objects=objects, **temperature)
    loss.backward()
    own, taught, num_objects = [], [], 0
    for image, target in enumerate(targets):
        cells = torch.zeros(4, 6, dtype=torch.bool)
        for mask, box, is_proposal in zip(target.masks, target.boxes, target.is_proposal.tolist(), strict=True):
            if objects not in ("all", "proposals" if is_proposal else "annotations"):
                continue
            inside = mask[2::4, 2::4].bool()  # the centers of cells of 4 x 4 pixels
            if not inside.any():
                inside[int(box[1] * 4), int(box[0] * 6)] = True
            cells |= inside
            num_objects += 1
            own.append(student.memory[image][:, inside].mean(1))
            taught.append(teacher.memory[image][:, inside].mean(1))
        gradient = student.memory[image].grad
        assert torch.equal((gradient != 0).any(0), cells) if kind != "contrastive" else gradient is not None
        assert teacher.memory[image].grad is None
    torch.testing.assert_close(loss, WEIGHT * plain_loss(own, taught, kind) / num_objects)
    assert student.queries.grad is None


def test_an_object_without_a_cell_gets_the_one_at_its_center():
    features = torch.arange(12.0).view(1, 3, 4)
    masks = torch.zeros(4, 24, 32, dtype=torch.uint8)
    masks[0, :, 4] = masks[0, 4:12, 20:28] = 1  # the centers of the cells (0, 0), (1, 0), (2, 0), and of (0, 2)
    masks[1, 3, 3] = 1  # between centers
    boxes = torch.tensor([[0.5, 0.5, 1, 1], [0.3, 0.4, 0, 0], [1.0, 1.0, 0, 0], [0.0, 0.0, 0, 0]])
    assert mean_in_masks(features, masks, boxes).flatten().tolist() == [(0 + 4 + 8 + 2) / 4, 5, 11, 0]
    assert mean_in_masks(features, masks[:0], boxes[:0]).shape == (0, 1)


@pytest.mark.parametrize("kind", ["cosine", "l2", "contrastive"])
@pytest.mark.parametrize("features", ["queries", "memory"])
def test_groups_are_averaged_each_by_itself(kind: str, features: str):
    """The mean over the groups of what each gets alone; no object of another group is a negative."""
    student, teacher, targets, groups = draw_outputs(0), draw_outputs(1), make_targets(), [range(2), range(2, 4)]
    together = compute(student, teacher, groups=groups, kind=kind, features=features)
    config = CriterionConfig(consistency=ConsistencyConfig(kind=kind, features=features))
    variant, (_, matching) = (
        ConsistencyVariant(config.consistency),
        Criterion(config)(student, targets, 1.0, None, teacher),
    )
    of_groups = [
        variant(student, teacher, targets, None, {None: matching}, {group: float(count)}, alone)
        for group, count in zip(groups, (4, 7 if features == "memory" else NUM_QUERIES), strict=True)
    ]
    torch.testing.assert_close(together, WEIGHT * torch.stack(of_groups).mean())


@pytest.mark.parametrize("kind", ["cosine", "l2", "contrastive"])
@pytest.mark.parametrize("features", ["queries", "memory"])
def test_without_objects_the_loss_is_zero_and_differentiable(kind: str, features: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(globals(), "KINDS", ([], [], [], []))
    student = draw_outputs(0)
    loss = compute(student, draw_outputs(1), kind=kind, features=features)
    loss.backward()
    assert loss == 0
    leaves = [student.queries] if features == "queries" else student.memory
    assert all((leaf.grad == 0).all() for leaf in leaves)
