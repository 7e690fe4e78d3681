"""Checks of the options that a renderer is opened with."""

from __future__ import annotations

import dataclasses

from vclr.errors import UsageError
from vclr.views.renderer import RenderOptions

COMMON = ("model", "device", "dtype", "seed")  # are of every renderer


def refuse_unused(options: RenderOptions, view: str, used: tuple[str, ...]) -> None:
    """Refuse options that a view would ignore.

    Raises:
        UsageError: an option is set that is neither common nor in `used`.
    """
    if options.batch_size > 1 and "batch_size" not in used:
        raise UsageError(f"--batch-size: view {view} renders one photo at a time; leave it out")
    for option in dataclasses.fields(options):
        is_used = option.name in (*COMMON, "batch_size", *used)
        if not is_used and getattr(options, option.name) != option.default:
            name = option.name.replace("_", "-")
            raise UsageError(f"--{name}: view {view} does not use it; leave it out")
