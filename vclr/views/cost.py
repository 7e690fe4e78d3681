"""What computed views cost in the loader, so that a training that waits for one says so."""

from __future__ import annotations

import time

import numpy as np

from vclr.catalog.views import BUDGET_PIXELS, BUDGETS
from vclr.views.computed import render_view


def say_costs(views: list[str], photo: np.ndarray, seed: int = 0) -> str | None:
    """Render each computed view of a photo, and describe in one line those that take longer than their budget.

    Args:
        views: computed views, as in `vclr.catalog.views.COMPUTED_VIEWS`.
        photo: (h, w, 3) uint8; the budget of a larger photo than `BUDGET_PIXELS` grows with its pixels.
        seed: of the views.

    Returns:
        The line, None if all are within their budgets.
    """
    growth = max(1.0, photo.shape[0] * photo.shape[1] / BUDGET_PIXELS)
    costs = {view: measure_cost(view, photo, seed) for view in views}
    above = [f"{view} {1000 * cost:.0f} ms" for view, cost in costs.items() if cost > BUDGETS[view] * growth]
    if not above:
        return None
    size = f"{photo.shape[1]}x{photo.shape[0]}"
    return (
        f"computed views that take long for a photo of {size}, on one core: {', '.join(above)}; "
        "if the training waits for its loader, use more workers, or write the files once with `vclr views`"
    )


def measure_cost(view: str, photo: np.ndarray, seed: int = 0) -> float:
    """Return the seconds of processor time that rendering a view takes, without reading photos or importing modules."""
    for _ in range(2):  # the first time includes imports
        started = time.process_time()
        render_view(view, photo, seed, "", lambda _: photo)
        seconds = time.process_time() - started
    return seconds
