"""What each computed view of a 480x640 photo costs on one core, and whether that is within its budget.

The photo is the first of that size in `$VCLR_SHARED/data/tiny_coco` if it is there, otherwise smooth noise. `--runs`
is the number of timed runs per view.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.table import Row
from benchmarks.timing import print_table
from vclr.catalog.views import BUDGETS, COMPUTED_VIEWS
from vclr.views.computed import render_view

SIZE = (480, 640)


def main(arguments: list[str]) -> None:
    """Print the table; seconds are processor time, which other programs do not change much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    photo = find_photo()
    seconds: dict[str, list[float]] = {view: [] for view in COMPUTED_VIEWS}
    for run in range(options.runs + 1):
        for view, measured in seconds.items():
            started = time.process_time()
            render_view(view, photo, 0, run, lambda generator: photo[::-1])
            if run:  # the first time includes imports
                measured.append(time.process_time() - started)
    rows = [Row(view, measured) for view, measured in seconds.items()]
    for row in rows:
        is_within = row.median <= BUDGETS[row.name]
        row.note = f"{'within' if is_within else 'above'} its budget of {1000 * BUDGETS[row.name]:.0f} ms"
    print_table("computed views of a 480x640 photo, processor time", rows)


def find_photo() -> np.ndarray:
    """Return a photo (480, 640, 3) uint8."""
    folder = Path(os.environ.get("VCLR_SHARED", "")) / "data" / "tiny_coco" / "images"
    for path in sorted(folder.glob("*.jpg")):
        with Image.open(path) as picture:
            if picture.size == SIZE[::-1]:
                return np.asarray(picture.convert("RGB"))
    # Smooth noise: like a photo, neither flat nor all edges.
    colors = np.random.default_rng(0).integers(0, 256, (30, 40, 3))
    return np.kron(colors, np.ones((16, 16, 1))).astype(np.uint8)


if __name__ == "__main__":
    main(sys.argv[1:])
