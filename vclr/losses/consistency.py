"""The consistency loss: the student's view of an object must give the query that the teacher's photo gives."""

from __future__ import annotations

from torch import Tensor

from vclr.config import CriterionConfig
from vclr.losses.functional import cosine_consistency
from vclr.losses.matcher import Matching
from vclr.structures import Outputs


class ConsistencyCriterion:
    """Pair student and teacher queries through the objects both are matched to (paper section 3.3)."""

    def __init__(self, config: CriterionConfig) -> None:
        self.weight = config.weight_dict.loss_consistency

    def __call__(
        self, student: Outputs, teacher: Outputs, matching: Matching, num_pairs: float | None = None
    ) -> dict[str, Tensor]:
        """Compute `loss_consistency`, weighted, in float32.

        Args:
            student: outputs on the student's view, whose last layer is the first of the matching.
            teacher: outputs on the natural view, without gradient, whose last layer is the last of the matching.
            matching: as the criterion returns it.
            num_pairs: what the sum is divided by: the mean number of pairs per process; by default those found here.
        """
        of_student, of_teacher = matching.meetings(0, -1)
        student_queries = student.queries.flatten(0, 1)[of_student].float()
        teacher_queries = teacher.queries.flatten(0, 1)[of_teacher].float().detach()
        return {"loss_consistency": self.weight * cosine_consistency(student_queries, teacher_queries, num_pairs)}
