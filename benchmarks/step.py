"""A training step of the published detector: what precision, checkpointing, micro-batches and the teacher cost."""

from __future__ import annotations

import sys

from benchmarks.cases import Comparison, compare

NO_TEACHER = ["model.criterion.weight_dict.loss_consistency=0", "train.model_ema.enabled=False"]
COMPARISONS = [
    Comparison(
        "training step, 1 image of 384x512, 300 queries, 10 objects",
        ["step"],
        {
            "float32": [],
            "bfloat16": ["--dtype", "bfloat16"],
            "float32, checkpointing": ["--checkpoint"],
            "float32, no teacher": NO_TEACHER,
        },
    ),
    Comparison(
        "training step, 2 images of 384x512",
        ["step", "--batch", "2"],
        {"float32": [], "float32, one image at a time": ["--micro-batch", "1"]},
        rounds=1,
        runs=1,
    ),
]


def main(arguments: list[str]) -> None:
    """Print the tables."""
    compare(COMPARISONS, __doc__, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
