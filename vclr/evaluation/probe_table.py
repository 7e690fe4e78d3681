"""The result of a probe as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vclr.catalog.metrics import PRINTED_METRICS
from vclr.catalog.views import NATURAL


def format_probe(content: Mapping[str, Any]) -> str:
    """Write the content of probe.json as a table, and below it the appearance invariance of each group.

    The table has the printed metrics, how much of the headline is kept, and the cosine of queries.
    """
    headline, renderings = content["headline"], content["renderings"]
    measured = [
        name
        for name in PRINTED_METRICS
        if any(group["metrics"].get(name) is not None for group in renderings[NATURAL]["groups"].values())
    ]
    rows = [["rendering", "group", *measured, f"{headline} kept", "query cosine"]]
    for view, rendering in renderings.items():
        for group, result in rendering["groups"].items():
            values = [_number(result["metrics"][name], "{:.1f}") for name in measured]
            share = format_share(*kept(result, headline))
            rows.append([view, group, *values, share, format_cosine(result["queries"])])
    for group, queries in content["different_objects"].items():
        rows.append(["(other objects)", group, *["-"] * (len(measured) + 1), format_cosine(queries)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(_align(row, widths)).rstrip() for row in rows]
    return "\n".join([*table, *_describe_invariance(content["appearance_invariance"], headline)])


def _describe_invariance(invariance: Mapping[str, Any], headline: str) -> list[str]:
    if not invariance["renderings"]:
        return []
    names = ", ".join(invariance["renderings"])
    groups = [
        f"{group} {format_share(found['mean_ratio'], found['interval'])}"
        for group, found in invariance["groups"].items()
    ]
    return ["", f"appearance invariance: {', '.join(groups)}", f"(mean of {headline} kept in {names})"]


def kept(result: Mapping[str, Any], headline: str) -> tuple[float | None, Sequence[float] | None]:
    """Return the share of the photos' headline that a group keeps in a rendering, and its interval; None without."""
    ratio, ends = ((result.get(key) or {}).get(headline) for key in ("ratio", "ratio_intervals"))
    return ratio, ends


def format_share(ratio: float | None, ends: Sequence[float] | None, unit: str = "%") -> str:
    """Write a ratio in percent with its interval, if it has one."""
    if ratio is None:
        return "-"
    return f"{100 * ratio:.0f}{unit}" + (f" [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]" if ends else "")


def format_cosine(queries: Mapping[str, Any] | None) -> str:
    """Write the mean cosine of queries with its standard error, if it has one."""
    if queries is None or queries["mean_cosine"] is None:
        return "-"
    error = queries["standard_error"]
    return f"{queries['mean_cosine']:.3f}" + (f" ± {error:.3f}" if error is not None else "")


def _align(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Pad the two columns of names on the right, and those of numbers on the left."""
    return [
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
