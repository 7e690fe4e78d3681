"""Checks of the options that a renderer is opened with."""

from __future__ import annotations

import dataclasses

from vclr.errors import UsageError
from vclr.views.renderer import RenderOptions

OF_MODELS = ("model", "device", "dtype")  # what every renderer that runs a model uses


def refuse_unused(options: RenderOptions, view: str, used: tuple[str, ...]) -> None:
    """Refuse options that a view would ignore.

    Args:
        options: the options.
        view: its name, for errors.
        used: the options that it uses, besides the seed and the batch size 1.

    Raises:
        UsageError: another option is set.
    """
    if options.batch_size > 1 and "batch_size" not in used:
        raise UsageError(f"--batch-size: view {view} renders one photo at a time; leave it out")
    for option in dataclasses.fields(options):
        is_used = option.name in ("seed", "batch_size", *used)
        if not is_used and getattr(options, option.name) != option.default:
            name = option.name.replace("_", "-")
            raise UsageError(f"--{name}: view {view} does not use it; leave it out")
