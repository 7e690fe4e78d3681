"""Published results on the protocols, in percent, which the report's ledger compares with ours."""

from __future__ import annotations

from dataclasses import dataclass

METHOD = "v-CLR"  # the method that is implemented here; the others are its rivals
# Points of difference that the ledger accepts. The published values are of one run each, without a spread, and rounded
# to 0.1; two trainings that differ only in their seed may well be further apart than that.
TOLERANCE = 1.0


@dataclass(frozen=True)
class Published:
    """The results of a method on a protocol.

    Attributes:
        method: its name.
        known: the list of `CLASS_LISTS` that it was trained on.
        protocol: name of the protocol.
        values: percent, by the name of the metric.
        source: where the values were published.
        confidence: `high` if they were read at the source, `medium` if another page repeats them.
    """

    method: str
    known: str
    protocol: str
    values: dict[str, float]
    source: str
    confidence: str


_AUTHORS = "README of github.com/Visual-AI/vCLR, released weights (ResNet-50)"
PUBLISHED_RESULTS = (
    Published(
        METHOD,
        "voc",
        "nonvoc",
        {"box_ar@10": 22.2, "box_ar@100": 40.3, "mask_ar@10": 19.6, "mask_ar@100": 33.7},
        _AUTHORS,
        "high",
    ),
    Published(
        METHOD,
        "coco",
        "lvis",
        {"box_ar@10": 20.3, "box_ar@100": 45.8, "mask_ar@10": 16.1, "mask_ar@100": 34.6},
        _AUTHORS,
        "high",
    ),
    Published(
        "SWORD", "voc", "nonvoc", {"box_ar@100": 40.0, "mask_ar@100": 34.9}, "arXiv 2308.04206, abstract", "high"
    ),
    Published(
        "GGN",
        "voc",
        "nonvoc",
        {"box_ar@100": 31.6, "mask_ar@10": 16.1, "mask_ar@100": 28.7},
        "arXiv 2204.06107, as listed by wizwand.com",
        "medium",
    ),
)
