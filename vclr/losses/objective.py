"""What a training minimizes: the detection losses, and the losses that compare the student with the teacher."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from vclr.catalog.losses import denoising_losses, teacher_losses
from vclr.config import ConsistencyConfig, CriterionConfig
from vclr.losses.consistency import consistency_loss
from vclr.losses.consistency_variant import ConsistencyVariant, Kinds, Matchings, Share, alone
from vclr.losses.criterion import Criterion, Generators, Losses
from vclr.losses.denoising import compare_denoised
from vclr.losses.matcher import Matching
from vclr.ops.constants import upload
from vclr.structures import Outputs, Target

# Arguments: student, teacher, the matching of both, and the divisor of the sum over the matched pairs. A loss is an
# entry here, its own file beside this one, and its weight in `WeightDict` (vclr/config).
TEACHER_LOSSES: dict[str, Callable[[Outputs, Outputs, Matching, float], Tensor]] = {
    "loss_consistency": consistency_loss,
}


@dataclass(frozen=True)
class Part:
    """The objects that are matched together, and their detection losses.

    Attributes:
        is_proposal: whether they are the proposals or the annotations; None: all.
        factor: of the weights of the losses; 0: there are no losses.
        suffix: follows the names of the losses.
    """

    is_proposal: bool | None
    factor: float = 1.0
    suffix: str = ""


@dataclass
class Counts:
    """The number of objects in each image of a batch by what they are divisors of, in the order of `Divisors`."""

    boxes: list[list[int]]
    pairs: list[list[int]]


@dataclass
class Divisors:
    """The divisors of all sums.

    Attributes:
        boxes: for each part of the objective, the mean number of its objects per process; the last one is that of all
            objects if there are denoising losses.
        pairs: of the teacher-driven losses for each group of consecutive images: for the whole batch as one group, the
            mean number of matched objects per process.
        compared: the same for a variant of the consistency loss, which may compare other objects.
    """

    boxes: list[float]
    pairs: dict[range, float]
    compared: dict[range, float] | None = None


class Objective:
    """All losses of a training step behind one call."""

    def __init__(self, config: CriterionConfig) -> None:
        self.detection = Criterion(config)
        weights = vars(config.weight_dict)
        names = teacher_losses(weights)
        self.variant: ConsistencyVariant | None = None
        if "loss_consistency" in names and config.consistency != ConsistencyConfig():
            names.remove("loss_consistency")
            self.variant, self.variant_weight = ConsistencyVariant(config.consistency), weights["loss_consistency"]
        self.teacher_driven = [(name, weights[name], TEACHER_LOSSES[name]) for name in names]
        self.tells_apart = bool(config.tells_apart())
        self.denoises = bool(denoising_losses(weights))
        self.parts = [Part(None)]
        if (two := config.two_losses).enabled:
            both = Part(False, two.annotations), Part(True, two.proposals, "_proposals")
            self.parts = [part for part in both if part.factor or self._compares_queries(part)]

    @property
    def needs_teacher(self) -> bool:
        """Whether any loss with a weight above 0 compares the student with the teacher."""
        return bool(self.teacher_driven or self.variant)

    def _compares_queries(self, part: Part) -> bool:
        """Tell whether a loss compares the queries that student and teacher match to the objects of a part."""
        variant = self.variant
        return bool(self.teacher_driven or (variant and variant.needs_matching and variant.compares(part.is_proposal)))

    def read_kinds(self, targets: list[Target]) -> Kinds | None:
        """Return which objects of each image are proposals; the host waits for the device. None if it is not needed."""
        if not self.tells_apart:
            return None
        flags = torch.cat([target.is_proposal for target in targets]).cpu().numpy()
        return np.split(flags, np.cumsum([len(target) for target in targets])[:-1])

    def count(self, targets: list[Target], kinds: Kinds | None, num_queries: int) -> Counts:
        """Count the objects of each image of this process's part of a batch."""
        by_kind: dict[bool | None, list[int]] = {None: [len(target) for target in targets]}
        if kinds is not None:
            by_kind |= {kind: [int((flags == kind).sum()) for flags in kinds] for kind in (False, True)}
        boxes = [by_kind[part.is_proposal] for part in self.parts]
        pairs = [add_up(boxes, num_queries)]
        if variant := self.variant:
            has_parts = variant.needs_matching and variant.of_proposals is None
            compared = boxes if has_parts else [by_kind[variant.of_proposals]]
            pairs.append(add_up(compared, num_queries if variant.needs_matching else math.inf))
        if self.denoises and self.parts[0].is_proposal is not None:
            boxes = [*boxes, by_kind[None]]
        return Counts(boxes, pairs)

    def __call__(
        self,
        student: Outputs,
        teacher: Outputs | None,
        targets: list[Target],
        divisors: Divisors,
        generators: Generators = None,
        kinds: Kinds | None = None,
        share: Share = alone,
    ) -> Losses:
        """Compute the weighted losses by name.

        Args:
            student: outputs of a training forward pass on the student's view.
            teacher: outputs on the teacher's view, without gradient; None unless `needs_teacher`.
            targets: the objects of each image; their masks cover what the image's mask features cover.
            divisors: of all sums.
            generators: one per image, on its device, for the points at which masks are compared.
            kinds: what `read_kinds` returns.
            share: gives the rows that other processes have of groups of images (default: this process is alone).
        """
        losses: Losses = {}
        matchings: Matchings = {}
        for part, num_boxes in zip(self.parts, divisors.boxes, strict=False):
            taught = teacher if self._compares_queries(part) else None
            of_part, matchings[part.is_proposal] = self.detection(
                student, select(targets, kinds, part), num_boxes, generators, taught, part.factor, part.suffix
            )
            losses |= of_part
        if (denoised := student.denoising) is not None:
            features = student.mask_features
            losses |= compare_denoised(self.detection, denoised, features, targets, divisors.boxes[-1], generators)
        for name, weight, loss in self.teacher_driven:
            assert teacher is not None  # callers ask needs_teacher
            of_groups = [
                loss(student, teacher, matching.only(images), divisor)
                for matching in matchings.values()
                for images, divisor in divisors.pairs.items()
            ]
            losses[name] = weight * reduce(add, of_groups)
        if self.variant:
            assert teacher is not None and divisors.compared is not None
            compared = self.variant(student, teacher, targets, kinds, matchings, divisors.compared, share)
            losses["loss_consistency"] = self.variant_weight * compared
        return losses


def add_up(counts: list[list[int]], most: float) -> list[int]:
    """Return for each image the sum over the parts of its objects, of which at most so many are matched together."""
    return [sum(int(min(count, most)) for count in of_image) for of_image in zip(*counts, strict=True)]


def select(targets: list[Target], kinds: Kinds | None, part: Part) -> list[Target]:
    """Return the targets with the objects of a part alone."""
    if part.is_proposal is None or kinds is None:
        return targets
    numbers = [np.flatnonzero(flags == part.is_proposal) for flags in kinds]
    return [target.take(upload(own, target.boxes.device)) for target, own in zip(targets, numbers, strict=True)]
