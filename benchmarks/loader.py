"""What the computed views cost in the loader."""

from __future__ import annotations

import numpy as np

from benchmarks.timing import compare
from vclr.ops.appearance import COMPUTED_VIEWS, render_view


def main() -> None:
    """Print the comparison."""
    generator = np.random.default_rng(0)
    # Smooth noise: as a photo, neither flat nor all edges.
    photo = np.kron(generator.integers(0, 256, (30, 40, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    views = {
        view: lambda view=view: render_view(view, photo, 0, 0, lambda generator: photo[::-1]) for view in COMPUTED_VIEWS
    }
    compare("computed views of a 480x640 picture", views)


if __name__ == "__main__":
    main()
