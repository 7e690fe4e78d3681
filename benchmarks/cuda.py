"""The published detector on a GPU: seconds and memory at the size it is trained at, 800x1333 with 2000 queries.

Writes benchmarks/results/<device>.md and .json after each case, the most important ones first; takes about ten minutes.
The memory is that of the tensors on the GPU.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

from benchmarks.cases import Comparison, compare

RESULTS = Path(__file__).parent / "results"
LONGEST_SECONDS = 180.0
STEP = ["step", "--device", "cuda", "--queries", "2000"]
SAME = ["--size", "800x1333"]
DIFFERENT = ["--size", "800x1333,704x1056"]  # as of photos of one orientation, drawn for each batch
BFLOAT16 = ["--dtype", "bfloat16"]
PRECISIONS = {"float32": [], "bfloat16": BFLOAT16}
COMPARISONS = [
    Comparison(
        "training step, 2 images up to 800x1333, 2000 queries",
        [*STEP, "--batch", "2"],
        {
            "bfloat16, different sizes": [*DIFFERENT, *BFLOAT16],
            "float32 (TF32), different sizes": DIFFERENT,
            "bfloat16, one size": [*SAME, *BFLOAT16],
            "float32 (TF32), one size": SAME,
            "float16, different sizes": [*DIFFERENT, "--dtype", "float16"],
            "float32 without TF32, different sizes": [*DIFFERENT, "train.tf32=False"],
        },
        rounds=1,
        runs=5,
    ),
    Comparison(
        "inference, 1 image of 800x1333, 2000 queries",
        ["inference", "--device", "cuda", "--queries", "2000", *SAME],
        PRECISIONS,
        rounds=1,
        runs=10,
    ),
    Comparison(
        "training step, how many images up to 800x1333 fit",
        [*STEP, *BFLOAT16],
        {
            "1 image": SAME,
            "4 images": ["--batch", "4", *DIFFERENT],
            "4 images, checkpointing": ["--batch", "4", *DIFFERENT, "--checkpoint"],
            "8 images, checkpointing": ["--batch", "8", *DIFFERENT, "--checkpoint"],
            "8 images": ["--batch", "8", *DIFFERENT],
        },
        rounds=1,
        runs=3,
    ),
    Comparison(
        "deformable attention, encoder of 800x1333, forward and backward",
        ["attention", "--device", "cuda", *SAME],
        PRECISIONS,
        rounds=1,
        runs=10,
        also={"forward alone": "forward_seconds"},
    ),
    Comparison(
        "training step, 1 image of 384x512, 300 queries", ["step", "--device", "cuda"], PRECISIONS, rounds=1, runs=10
    ),
]


def main(arguments: list[str]) -> None:
    """Print the tables and write them."""
    if not torch.cuda.is_available():
        sys.exit("benchmarks.cuda: there is no CUDA device that torch can use; nothing measured")
    name = re.sub(r"[^A-Za-z0-9]+", "-", torch.cuda.get_device_name()).strip("-").lower()
    compare(COMPARISONS, __doc__, arguments, RESULTS / f"{name}.md", LONGEST_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
