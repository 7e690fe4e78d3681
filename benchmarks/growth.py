"""How the cost of a training step grows with the image, the queries and the objects."""

from __future__ import annotations

import sys

from benchmarks.cases import Comparison, compare

COMPARISONS = [
    Comparison(
        "training step, growing from 1 image of 384x512, 300 queries, 10 objects",
        ["step", "--no-calibration"],
        {
            "384x512, 300 queries, 10 objects": [],
            "half the pixels: 272x362": ["--size", "272x362"],
            "twice the pixels: 544x724": ["--size", "544x724"],
            "900 queries": ["--queries", "900"],
            "2000 queries": ["--queries", "2000"],
            "100 objects": ["--objects", "100"],
        },
        rounds=1,
        runs=1,
    )
]


def main(arguments: list[str]) -> None:
    """Print the table."""
    compare(COMPARISONS, __doc__, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
