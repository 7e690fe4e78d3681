"""Deformable attention at the encoder's shapes: the backends, with their gradients and alone."""

from __future__ import annotations

import sys

from benchmarks.cases import Comparison, compare

COMPARISONS = [
    Comparison(
        "deformable attention, encoder of 480x640, forward and backward",
        ["attention"],
        {backend: ["--backend", backend] for backend in ("grid_sample", "gather")},
        runs=5,
        also={"forward alone": "forward_seconds"},
    )
]


def main(arguments: list[str]) -> None:
    """Print the table."""
    compare(COMPARISONS, __doc__, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
