"""Checks of the options that a renderer is opened with."""

from __future__ import annotations

import dataclasses

import torch

from vclr.errors import UsageError, nearest
from vclr.views.renderer import RenderOptions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
COMMON = ("model", "device", "dtype", "seed")  # are of every renderer


def refuse_unused(options: RenderOptions, view: str, used: tuple[str, ...]) -> None:
    """Refuse options that a view would ignore.

    Raises:
        UsageError: an option is set that is neither common nor in `used`.
    """
    for option in dataclasses.fields(options):
        if option.name not in (*COMMON, *used) and getattr(options, option.name) != option.default:
            name = option.name.replace("_", "-")
            says = "renders one photo at a time" if option.name == "batch_size" else f"does not use --{name}"
            raise UsageError(f"--{name}: view {view} {says}; leave it out")


def choose_dtype(name: str) -> torch.dtype:
    """Return the type of numbers called `name`; `auto` is float32, because these networks are small.

    Raises:
        UsageError: there is no such type; names the nearest.
    """
    if name == "auto":
        return torch.float32
    if name not in DTYPES:
        raise UsageError(
            f"--dtype {name}: must be auto or one of {', '.join(DTYPES)}; nearest: {nearest(name, DTYPES)}"
        )
    return DTYPES[name]
