"""Hungarian matching of queries and objects (DETR, section 3.1)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vclr.config import MatcherConfig
from vclr.losses.functional import focal_cost
from vclr.ops.boxes import cxcywh_to_xyxy, pairwise_giou
from vclr.structures import Outputs, Target

Indices = list[tuple[Tensor, Tensor]]


class HungarianMatcher:
    """Pair queries and objects one to one at the least sum of class, L1 and GIoU costs; masks do not enter."""

    def __init__(self, config: MatcherConfig) -> None:
        self.config = config

    @torch.no_grad()
    def __call__(self, outputs: Outputs, targets: list[Target]) -> Indices:
        """Match a batch.

        Returns:
            For each image the query and the object of every pair, (k,) and (k,) with k = min(q, n), sorted by query.
        """
        indices = []
        for logits, boxes, target in zip(outputs.pred_logits, outputs.pred_boxes, targets, strict=True):
            cost = self.cost(logits.float(), boxes.float(), target).cpu().numpy()
            # Costs that are not finite are of a diverged training, which its losses show.
            queries, objects = linear_sum_assignment(np.nan_to_num(cost, nan=1e8, posinf=1e8, neginf=-1e8))
            device = logits.device
            indices.append((torch.as_tensor(queries, device=device), torch.as_tensor(objects, device=device)))
        return indices

    def cost(self, logits: Tensor, boxes: Tensor, target: Target) -> Tensor:
        """Return the cost (q, n) of every query (q, c), (q, 4) and object of one image."""
        config = self.config
        cost_class = focal_cost(logits, config.alpha, config.gamma)[:, target.labels]
        cost_bbox = torch.cdist(boxes, target.boxes, p=1)
        cost_giou = -pairwise_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target.boxes))
        return config.cost_class * cost_class + config.cost_bbox * cost_bbox + config.cost_giou * cost_giou
