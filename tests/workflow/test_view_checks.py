"""The key `view_checks` reaches each experiment with the minima of its own views; unknown names are errors."""

from __future__ import annotations

import pytest

from vclr.errors import UsageError
from workflow.view_checks import check_named_views, check_view_checks, inspection_options

CHECKS = {"sample": 8, "minima": {"structure": {"style": 0.2, "depth": 0.1}, "own_photo": 0.5}}


def test_minima_of_views_that_an_experiment_lacks_are_for_others():
    depth, own = "--min-structure depth=0.1", "--min-own-photo 0.5"
    assert inspection_options(CHECKS, ["natural", "depth"]) == f"--sample 8 {depth} {own}"
    assert inspection_options(CHECKS, ["edge"]) == f"--sample 8 {own}"


def test_names_that_nothing_has_are_refused():
    check_view_checks(CHECKS)
    with pytest.raises(UsageError, match=r"minima\.structur: no such measure; nearest: structure"):
        check_view_checks({"sample": 8, "minima": {"structur": 0.1}})
    infrared = {"sample": 8, "minima": {"structure": {"infrared": 0.2}}}
    check_named_views(CHECKS, list)
    check_named_views(infrared, lambda: ["infrared"])
    with pytest.raises(
        UsageError, match=r"view_checks\.minima\.structure\.infrared: no view of the catalog or of an ex"
    ):
        check_named_views(infrared, lambda: ["natural"])
