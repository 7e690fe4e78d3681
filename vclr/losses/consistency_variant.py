"""The consistency loss in other variants than the published one (`model.criterion.consistency`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from vclr.config import ConsistencyConfig
from vclr.losses.functional import contrastive_consistency, cosine_consistency, l2_consistency, mean_in_masks
from vclr.losses.matcher import Matching
from vclr.ops.constants import upload
from vclr.structures import Outputs, Target

Kinds = list[np.ndarray]  # which objects of each image are proposals (n,), on the host
Matchings = dict[bool | None, Matching]  # of annotations (False) and proposals (True) apart, or of all (None)
Pairs = tuple[Tensor, Tensor]  # features (n, d) of the same objects, in float32: the student's, the teacher's
# Takes the rows of each group of images, and returns the rows that the other processes have of the same groups.
Share = Callable[[list[Tensor]], list[Tensor]]


def alone(groups: list[Tensor]) -> list[Tensor]:
    """Share nothing: there is no other process."""
    return [rows[:0] for rows in groups]


class ConsistencyVariant:
    """The consistency loss as `model.criterion.consistency` chooses it; at the defaults, `consistency_loss`."""

    def __init__(self, config: ConsistencyConfig) -> None:
        self.config = config
        # None: all objects; otherwise whether proposals or annotations are compared.
        self.of_proposals = None if config.objects == "all" else config.objects == "proposals"
        self.needs_matching = config.features == "queries"
        # Arguments: the student's features, the teacher's of the same objects and those of other processes' objects,
        # and the divisor of the sum over the pairs.
        losses: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
            "cosine": lambda student, teacher, _, num_pairs: cosine_consistency(student, teacher, num_pairs),
            "l2": lambda student, teacher, _, num_pairs: l2_consistency(student, teacher, num_pairs),
            "contrastive": partial(contrastive_consistency, temperature=config.temperature),
        }
        self.loss = losses[config.kind]

    def compares(self, is_proposal: bool | None) -> bool:
        """Tell whether objects of a kind are compared; None stands for objects of both kinds together."""
        return None in (is_proposal, self.of_proposals) or is_proposal == self.of_proposals

    def __call__(
        self,
        student: Outputs,
        teacher: Outputs,
        targets: list[Target],
        kinds: Kinds | None,
        matchings: Matchings,
        divisors: dict[range, float],
        share: Share,
    ) -> Tensor:
        """Return the loss without its weight: the mean over the compared layers of the sum over the groups.

        Args:
            student: outputs on the student's view.
            teacher: outputs on the teacher's view, without gradient.
            targets: the objects of each image.
            kinds: which of them are proposals; None if that does not matter.
            matchings: as the criterion returns them, with the teacher in those of the objects that are compared.
            divisors: for each group of consecutive images, that of its sum over the pairs.
            share: gives the teacher's features that other processes have of the groups.
        """
        if self.needs_matching:
            layers = [self._queries(*layer, kinds, matchings) for layer in self._layers(student, teacher)]
        else:
            layers = [self._memory(student, teacher, targets, kinds)]
        return torch.stack([self._sum_groups(of_images, divisors, share) for of_images in layers]).mean()

    def _layers(self, student: Outputs, teacher: Outputs) -> Iterator[tuple[Tensor, Tensor, int, int]]:
        """Yield the queries of the compared layers, and the layers' places in a matching."""
        yield student.queries, teacher.queries, 0, -1
        if self.config.layers == "all":
            num_earlier = len(teacher.aux_outputs)
            for number, (own, taught) in enumerate(zip(student.aux_outputs, teacher.aux_outputs, strict=True)):
                yield own.queries, taught.queries, number + 1, number - num_earlier - 1

    def _queries(
        self, student: Tensor, teacher: Tensor, first: int, second: int, kinds: Kinds | None, matchings: Matchings
    ) -> list[Pairs]:
        """Return each image's pairs of queries that two layers match to the same object."""
        found: list[list[np.ndarray]] = [[] for _ in student]
        for is_proposal, matching in matchings.items():
            if not self.compares(is_proposal):
                continue
            for image, met in enumerate(matching.meetings_of_images(first, second)):
                if is_proposal is None and self.of_proposals is not None and kinds is not None:
                    met = met[:, kinds[image][met[2]] == self.of_proposals]
                found[image].append(met[:2])
        counts = [sum(met.shape[1] for met in of_image) for of_image in found]
        of_student, of_teacher = upload(
            np.concatenate([met for of_image in found for met in of_image], 1), student.device
        )
        own = student.flatten(0, 1)[of_student].float().split(counts)
        return list(zip(own, teacher.flatten(0, 1)[of_teacher].float().detach().split(counts), strict=True))

    def _memory(self, student: Outputs, teacher: Outputs, targets: list[Target], kinds: Kinds | None) -> list[Pairs]:
        """Return each image's pairs of the memory at its objects; both views have the same geometry."""
        assert student.memory is not None and teacher.memory is not None
        pairs = []
        for image, (own, taught, target) in enumerate(zip(student.memory, teacher.memory, targets, strict=True)):
            if self.of_proposals is not None and kinds is not None:
                chosen = np.flatnonzero(kinds[image] == self.of_proposals)
                target = target.take(upload(chosen, target.boxes.device))
            features = (mean_in_masks(memory, target.masks, target.boxes) for memory in (own, taught.detach()))
            pairs.append((next(features), next(features)))
        return pairs

    def _sum_groups(self, of_images: list[Pairs], divisors: dict[range, float], share: Share) -> Tensor:
        """Return the sum of the losses of the groups, each divided by its divisor."""
        groups = [
            (torch.cat([of_images[image][0] for image in images]), torch.cat([of_images[image][1] for image in images]))
            for images in divisors
        ]
        others = (share if self.config.kind == "contrastive" else alone)([teacher for _, teacher in groups])
        losses = [
            self.loss(*pairs, of_others, divisor)
            for pairs, of_others, divisor in zip(groups, others, divisors.values(), strict=True)
        ]
        return reduce(add, losses)
