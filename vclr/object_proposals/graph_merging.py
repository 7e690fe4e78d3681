"""The hierarchies of the method `graph`: neighboring pieces are merged step by step until one region is left."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from vclr.object_proposals.graph_pieces import BINS, Pieces

Borders = dict[int, tuple[float, float]]  # of a region with each neighbor: pixels, and the edges summed over them
STRONG_EDGE = 10.0  # Lab difference across a pixel that counts as 1 in the merging


@dataclass(frozen=True)
class Merging:
    """What makes two neighbors different; the two least different are merged first.

    Attributes:
        edge: weight of the mean edge along their border; edges find things of one color.
        looks: weight of the difference in color and texture; looks find textured things, whose inside is full of edges.
        growth: weight of their common box, as a share of the image: regions that fill it come first.
        evenness: power of their size (the harmonic mean of the areas): with it, small regions come first.
    """

    edge: float
    looks: float
    growth: float
    evenness: float


# Each sees other objects, and a region on which several agree is more likely to be one.
MERGINGS = (
    Merging(edge=1.0, looks=0.5, growth=0.5, evenness=0.0),
    Merging(edge=0.0, looks=1.0, growth=1.0, evenness=0.0),
    Merging(edge=0.5, looks=1.0, growth=2.0, evenness=0.33),
    Merging(edge=2.0, looks=1.0, growth=0.0, evenness=0.4),
)


class Regions:
    """The pieces and what was made of them, in order; arrays with room for all regions that a merging makes."""

    def __init__(self, pieces: Pieces) -> None:
        self.count = len(pieces.areas)
        total = 2 * self.count - 1
        self.size = pieces.labels.size
        self.members = np.eye(total, self.count, dtype=bool)
        self.areas, self.boxes = np.zeros(total), np.zeros((total, 4))
        self.looks = np.zeros((total, 4 * BINS))
        self.areas[: self.count], self.boxes[: self.count] = pieces.areas, pieces.boxes
        # Color, in three histograms, and texture count the same.
        weights = np.repeat([1 / 3, 1 / 3, 1 / 3, 1], BINS)
        self.looks[: self.count] = pieces.histograms * weights / pieces.areas[:, None]

    def join(self, first: int, second: int) -> int:
        """Add the union of two regions, and return its number."""
        joined, parts = self.count, [first, second]
        self.members[joined] = self.members[first] | self.members[second]
        self.areas[joined] = self.areas[parts].sum()
        self.looks[joined] = self.areas[parts] @ self.looks[parts] / self.areas[joined]
        self.boxes[joined] = _join_boxes(self.boxes[first], self.boxes[second])
        self.count += 1
        return joined

    def differences(
        self, merging: Merging, first: np.ndarray, second: np.ndarray, lengths: np.ndarray, edges: np.ndarray
    ) -> np.ndarray:
        """Return how different the regions `first` are from their neighbors `second`, one value per pair."""
        areas, others = self.areas[first], self.areas[second]
        difference = merging.edge / STRONG_EDGE * edges / lengths
        difference += merging.looks * (2 - np.minimum(self.looks[first], self.looks[second]).sum(axis=1))
        x0, y0, x1, y1 = _join_boxes(self.boxes[first], self.boxes[second]).T
        difference += merging.growth / self.size * (x1 - x0) * (y1 - y0)
        if merging.evenness:
            difference *= (areas * others / (areas + others) / self.size) ** merging.evenness
        return difference


def merge_pieces(pieces: Pieces, merging: Merging) -> np.ndarray:
    """Merge the two least different neighbors until no two touch.

    Returns:
        (c, r) bool: the pieces in each region; the pieces themselves come first, then regions as they were made.
    """
    regions = Regions(pieces)
    neighbors: dict[int, Borders] = {region: {} for region in range(regions.count)}
    borders = zip(pieces.pairs.tolist(), pieces.lengths.tolist(), pieces.edges.tolist(), strict=True)
    for (first, second), length, edge in borders:
        neighbors[first][second] = neighbors[second][first] = length, edge
    first_of_pairs, second_of_pairs = pieces.pairs.T
    differences = regions.differences(merging, first_of_pairs, second_of_pairs, pieces.lengths, pieces.edges)
    queue = [(difference, *pair) for difference, pair in zip(differences.tolist(), pieces.pairs.tolist(), strict=True)]
    heapq.heapify(queue)
    while queue:
        _, first, second = heapq.heappop(queue)
        if first not in neighbors or second not in neighbors:
            continue
        joined, around = regions.join(first, second), _join_neighbors(neighbors, first, second)
        neighbors[joined] = around
        if not around:
            continue
        others = np.fromiter(around, dtype=np.intp)
        lengths, edges = np.array(list(around.values())).T
        differences = regions.differences(merging, np.full_like(others, joined), others, lengths, edges)
        for difference, (other, border) in zip(differences.tolist(), around.items(), strict=True):
            neighbors[other][joined] = border
            heapq.heappush(queue, (difference, other, joined))
    return regions.members[: regions.count]


def _join_boxes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the boxes (..., 4) around pairs of boxes."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.concatenate([low[..., :2], high[..., 2:]], axis=-1)


def _join_neighbors(neighbors: dict[int, Borders], first: int, second: int) -> Borders:
    """Take two regions out of the graph and return the neighbors of their union, with the borders added up."""
    joined: Borders = {}
    for region in (neighbors.pop(first), neighbors.pop(second)):
        for other, (length, edge) in region.items():
            if other in neighbors:
                known_length, known_edge = joined.get(other, (0.0, 0.0))
                joined[other] = known_length + length, known_edge + edge
                neighbors[other].pop(first, None)
                neighbors[other].pop(second, None)
    return joined
