"""The cost of computed views: what is above its budget is named, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from vclr.catalog.views import BUDGETS, COMPUTED_VIEWS
from vclr.views.cost import measure_cost, say_costs

PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)


def test_every_computed_view_has_a_budget_and_costs_something() -> None:
    assert BUDGETS.keys() == COMPUTED_VIEWS.keys()
    assert all(measure_cost(view, PHOTO) > 0 for view in COMPUTED_VIEWS)


def test_only_views_above_their_budget_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUDGETS, "gray", 1000.0)
    assert say_costs(["gray"], PHOTO) is None
    monkeypatch.setitem(BUDGETS, "edge", 0.0)
    said = say_costs(["gray", "edge"], PHOTO)
    assert said is not None
    assert said.startswith("computed views that take long for a photo of 64x48, on one core: edge ")
    assert "gray" not in said


def test_a_large_photo_has_a_larger_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vclr.views.cost.measure_cost", lambda view, photo, seed: 0.1)
    assert say_costs(["edge"], np.zeros((480, 640, 3), np.uint8)) is not None
    assert say_costs(["edge"], np.zeros((960, 640, 3), np.uint8)) is None
