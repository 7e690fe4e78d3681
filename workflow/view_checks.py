"""The key `view_checks` as options of `vclr views inspect`. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vclr.catalog.view_measures import VIEW_MINIMA
from vclr.errors import UsageError, nearest


def inspection_options(checks: Mapping[str, Any]) -> str:
    """Return the key `view_checks` as options of `vclr views inspect`, as words of a shell command.

    Raises:
        UsageError: a measure is unknown; names the nearest.
    """
    options = [f"--sample {max(1, int(checks['sample']))}"]
    for measure, minimum in checks.get("minima", {}).items():
        if measure not in VIEW_MINIMA:
            raise UsageError(f"view_checks.minima.{measure}: no such measure; nearest: {nearest(measure, VIEW_MINIMA)}")
        values = [f"{view}={value}" for view, value in minimum.items()] if isinstance(minimum, Mapping) else [minimum]
        options += [f"--min-{measure.replace('_', '-')} {value}" for value in values]
    return " ".join(options)
