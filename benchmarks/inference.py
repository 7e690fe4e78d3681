"""Inference of the published detector on one image: precision of the mask branch."""

from __future__ import annotations

import sys

from benchmarks.cases import Comparison, compare

COMPARISONS = [
    Comparison(
        "inference, 1 image of 480x640, 900 queries",
        ["inference"],
        {"float32": [], "bfloat16 masks": ["--dtype", "bfloat16"]},
        runs=4,
    )
]


def main(arguments: list[str]) -> None:
    """Print the table."""
    compare(COMPARISONS, __doc__, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
