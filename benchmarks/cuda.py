"""The published detector on a GPU: seconds and memory at the size it is trained at, 800x1333 with 2000 queries.

Writes benchmarks/results/<device>.md and .json. Memory is of the tensors on the GPU.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

from benchmarks.cases import Comparison, compare

RESULTS = Path(__file__).parent / "results"
ON_GPU = ["--device", "cuda", "--size", "800x1333"]
QUERIES = ["--queries", "2000"]
PRECISIONS = {"float32": [], "bfloat16": ["--dtype", "bfloat16"]}
COMPARISONS = [
    Comparison("training step, 1 image of 384x512, 300 queries", ["step", "--device", "cuda"], PRECISIONS, runs=10),
    Comparison(
        "training step, images of 800x1333, 2000 queries",
        ["step", *ON_GPU, *QUERIES],
        {
            f"{precision}, {batch} image{'s' * (batch > 1)}{', checkpointing' * bool(checkpoint)}": [
                *arguments,
                *("--batch", str(batch)),
                *checkpoint,
            ]
            for precision, arguments in PRECISIONS.items()
            for batch in (1, 2, 4)
            for checkpoint in ([], ["--checkpoint"])
        },
        rounds=1,
        runs=5,
    ),
    Comparison("inference, 1 image of 800x1333, 2000 queries", ["inference", *ON_GPU, *QUERIES], PRECISIONS, runs=10),
    Comparison(
        "deformable attention, encoder of 800x1333, forward and backward",
        ["attention", *ON_GPU],
        PRECISIONS,
        runs=10,
        also={"forward alone": "forward_seconds"},
    ),
]


def main(arguments: list[str]) -> None:
    """Print the tables and write them."""
    if not torch.cuda.is_available():
        sys.exit("benchmarks.cuda: there is no CUDA device that torch can use; nothing measured")
    name = re.sub(r"[^A-Za-z0-9]+", "-", torch.cuda.get_device_name()).strip("-").lower()
    compare(COMPARISONS, __doc__, arguments, RESULTS / f"{name}.md")


if __name__ == "__main__":
    main(sys.argv[1:])
