"""The consistency loss: the student's view of an object must give the query that the teacher's photo gives."""

from __future__ import annotations

import torch
from torch import Tensor

from vclr.config import CriterionConfig
from vclr.losses.functional import cosine_consistency
from vclr.losses.matcher import HungarianMatcher, Indices
from vclr.structures import Outputs, Target


class ConsistencyCriterion:
    """Pair student and teacher queries through the objects both are matched to (paper section 3.3)."""

    def __init__(self, config: CriterionConfig) -> None:
        self.weight = config.weight_dict.loss_consistency
        self.matcher = HungarianMatcher(config.matcher)

    def __call__(
        self,
        student: Outputs,
        student_indices: Indices,
        teacher: Outputs,
        targets: list[Target],
        num_pairs: float | None = None,
    ) -> dict[str, Tensor]:
        """Compute `loss_consistency`, weighted.

        Args:
            student: outputs on the student's view, whose last layer is matched by `student_indices`.
            student_indices: as the matcher returns them.
            teacher: outputs on the natural view, without gradient.
            targets: the objects of each image.
            num_pairs: what the sum is divided by: the mean number of pairs a process; by default those found here.
        """
        teacher_indices = self.matcher(teacher, targets)
        pairs = [
            (student.queries[image, student_queries], teacher.queries[image, teacher_queries])
            for image, (student_queries, teacher_queries) in enumerate(
                map(pair_by_object, student_indices, teacher_indices)
            )
        ]
        student_queries = torch.cat([first for first, _ in pairs]).float()
        teacher_queries = torch.cat([second for _, second in pairs]).float().detach()
        return {"loss_consistency": self.weight * cosine_consistency(student_queries, teacher_queries, num_pairs)}


def pair_by_object(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the queries (k,) and (k,) of one image's two matchings that are matched to the same object, by object.

    The matchings cover different objects only where there are more objects than queries.
    """
    same = first[1][:, None] == second[1]
    in_first, in_second = same.nonzero(as_tuple=True)
    order = first[1][in_first].argsort()
    return first[0][in_first[order]], second[0][in_second[order]]
