"""Hungarian matching of queries and objects (DETR, section 3.1) for all layers and images at once.

The host solves the assignment: all costs are copied to it together, and all pairs come back together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vclr.config import MatcherConfig
from vclr.losses.functional import focal_cost
from vclr.ops.boxes import cxcywh_to_xyxy, pairwise_giou
from vclr.ops.constants import upload
from vclr.structures import Target

# The costs of a diverged training are not finite. They are capped here; its losses report the problem.
LARGEST_COST = 1e8


@dataclass
class Matching:
    """The pairs of queries and objects of every layer. k: pairs per layer, image by image, sorted by query.

    Attributes:
        host_queries: (l, k) each pair's query, by its number within the image.
        host_objects: (l, k) each pair's object, by its number within the image.
        num_pairs: per image, min(q, n) in every layer.
        num_queries: q.
        queries: (l, k) index of the pair's query among a layer's (b * q) queries, on the device.
        rows: (l, k) its index among the (l * b * q) queries of all layers, on the device.
        objects: (l, k) `host_objects` on the device.
        targets: (l, k) index of the pair's object among the objects of all images, on the device.
    """

    host_queries: np.ndarray
    host_objects: np.ndarray
    num_pairs: list[int]
    num_queries: int
    queries: Tensor
    rows: Tensor
    objects: Tensor
    targets: Tensor

    def of_image(self, layer: int, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the query and the object (k,) of every pair of one image in one layer."""
        start = sum(self.num_pairs[:image])
        pairs = slice(start, start + self.num_pairs[image])
        return self.host_queries[layer, pairs], self.host_objects[layer, pairs]

    def only(self, images: range) -> Matching:
        """Return the matching with the pairs of these consecutive images alone; the others have none."""
        pairs = slice(sum(self.num_pairs[: images.start]), sum(self.num_pairs[: images.stop]))
        num_pairs = [count if image in images else 0 for image, count in enumerate(self.num_pairs)]
        on_device = (rows[:, pairs] for rows in (self.queries, self.rows, self.objects, self.targets))
        return Matching(
            self.host_queries[:, pairs], self.host_objects[:, pairs], num_pairs, self.num_queries, *on_device
        )

    def meetings(self, first: int, second: int) -> Tensor:
        """Return (2, m): the indices of the queries that two layers match to the same object, by image, then by object.

        Two layers match different objects only if there are more objects than queries.
        """
        return upload(np.concatenate(self.meetings_of_images(first, second), 1)[:2], self.queries.device)

    def meetings_of_images(self, first: int, second: int) -> list[np.ndarray]:
        """Return the meetings of each image (3, m), on the host: two queries, and the object's number in the image."""
        found = []
        for image in range(len(self.num_pairs)):
            queries, objects = self.of_image(first, image)
            others, their_objects = self.of_image(second, image)
            met, own, their = np.intersect1d(objects, their_objects, assume_unique=True, return_indices=True)
            first_query = image * self.num_queries
            found.append(np.stack([queries[own] + first_query, others[their] + first_query, met]))
        return found


class HungarianMatcher:
    """Pair queries and objects one to one at the least sum of class, L1 and GIoU costs; masks do not enter."""

    def __init__(self, config: MatcherConfig) -> None:
        self.config = config

    @torch.no_grad()
    def __call__(self, logits: Tensor, boxes: Tensor, targets: list[Target]) -> Matching:
        """Match every layer's queries to the objects of their image; the host waits once, for the costs.

        Class logits (l, b, q, c) and boxes (l, b, q, 4), cxcywh normalized, are float32.
        """
        counts, (num_layers, _, num_queries, _) = list(map(len, targets)), logits.shape
        tables = [self.cost(*of_image) for of_image in zip(logits.unbind(1), boxes.unbind(1), targets, strict=True)]
        costs = torch.cat([table.flatten() for table in tables]).cpu().numpy()
        costs = np.nan_to_num(costs, nan=LARGEST_COST, posinf=LARGEST_COST, neginf=-LARGEST_COST)
        by_image = np.split(costs, np.cumsum([table.numel() for table in tables])[:-1])
        by_image = [costs.reshape(table.shape) for costs, table in zip(by_image, tables, strict=True)]
        num_pairs = [min(count, num_queries) for count in counts]
        pairs = np.empty((2, num_layers, sum(num_pairs)), dtype=np.int64)
        for layer in range(num_layers):
            np.concatenate([linear_sum_assignment(costs[layer]) for costs in by_image], axis=1, out=pairs[:, layer])
        return _to_matching(pairs, counts, num_pairs, num_queries, logits.device)

    def cost(self, logits: Tensor, boxes: Tensor, target: Target) -> Tensor:
        """Return the cost (l, q, n) of every query (l, q, c), (l, q, 4) and object of one image."""
        config = self.config
        cost_class = focal_cost(logits, config.alpha, config.gamma)[..., target.labels]
        cost_bbox = torch.cdist(boxes, target.boxes.expand(len(boxes), -1, -1), p=1)
        cost_giou = -pairwise_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target.boxes))
        return config.cost_class * cost_class + config.cost_bbox * cost_bbox + config.cost_giou * cost_giou


def match_in_order(counts: list[int], num_layers: int, num_queries: int, device: torch.device) -> Matching:
    """Pair query and object of the same number in every layer; `counts` are the objects of each image."""
    numbers = np.concatenate([np.arange(count) for count in counts])
    pairs = np.broadcast_to(numbers, (2, num_layers, len(numbers)))
    return _to_matching(pairs, counts, counts, num_queries, device)


def _to_matching(
    pairs: np.ndarray, counts: list[int], num_pairs: list[int], num_queries: int, device: torch.device
) -> Matching:
    """Return the matching of pairs (2, l, k) of a query and an object of an image, image by image."""
    images = np.arange(len(counts)).repeat(num_pairs)
    first_objects = np.cumsum([0, *counts])[images]
    queries, objects = pairs
    in_layer = queries + images * num_queries
    rows = in_layer + np.arange(len(queries))[:, None] * len(counts) * num_queries
    on_device = upload(np.stack([in_layer, rows, objects, objects + first_objects]), device)
    return Matching(queries, objects, num_pairs, num_queries, *on_device)
