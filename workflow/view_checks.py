"""The key `view_checks` as options of `vclr views inspect`. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from vclr.catalog.view_measures import VIEW_MINIMA
from vclr.catalog.views import COMPUTED_VIEWS, PRODUCERS
from vclr.errors import UsageError, nearest


def check_view_checks(checks: Mapping[str, Any]) -> None:
    """Check the value of the key.

    Raises:
        UsageError: a measure is unknown; names the nearest.
    """
    for measure in checks.get("minima", {}):
        if measure not in VIEW_MINIMA:
            raise UsageError(f"view_checks.minima.{measure}: no such measure; nearest: {nearest(measure, VIEW_MINIMA)}")


def check_named_views(checks: Mapping[str, Any], drawn: Callable[[], Iterable[str]]) -> None:
    """Check that each view with a minimum of its own is one of the catalog or of an experiment.

    Args:
        checks: the key.
        drawn: lists the views of the experiments; called only if a minimum names a view.

    Raises:
        UsageError: one is not; names the nearest.
    """
    named = [
        (measure, view) for measure, one in checks.get("minima", {}).items() if isinstance(one, dict) for view in one
    ]
    known = [*COMPUTED_VIEWS, *PRODUCERS, *(drawn() if named else ())]
    for measure, view in named:
        if view not in known:
            says = f"no view of the catalog or of an experiment; nearest: {nearest(view, known)}"
            raise UsageError(f"view_checks.minima.{measure}.{view}: {says}")


def inspection_options(checks: Mapping[str, Any], views: Collection[str]) -> str:
    """Return the key `view_checks` as options of `vclr views inspect`, as words of a shell command.

    Args:
        checks: the key.
        views: those of an experiment; minima of other views are meant for other experiments.
    """
    options = [f"--sample {max(1, int(checks['sample']))}"]
    for measure, minimum in checks.get("minima", {}).items():
        option = f"--min-{measure.replace('_', '-')}"
        if isinstance(minimum, Mapping):
            options += [f"{option} {view}={value}" for view, value in minimum.items() if view in views]
        else:
            options.append(f"{option} {minimum}")
    return " ".join(options)
