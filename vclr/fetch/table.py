"""A plan as text: the table of `--dry-run`, and the summary of a fetch."""

from __future__ import annotations

from collections.abc import Sequence

from rich.filesize import decimal

from vclr.fetch.plan import Item, Plan, State, disk_needed, free_bytes
from vclr.fetch.settings import Settings
from vclr.wording import count_of

HEADER = ("file", "size", "checksum", "goes to", "state")


def describe(plans: Sequence[Plan], settings: Settings, mbit: float) -> str:
    """Return a table of all files with the total download size, disk space, and time at `mbit` megabits per second."""
    rows: list[tuple[str, ...]] = [HEADER]
    notes = []
    for plan in plans:
        source = plan.source
        if source.generated:
            rows.append((source.name, "-", "-", source.folder, "generated"))
        rows += [_row(item) for item in plan.items]
        rows += [(folder, "-", "-", folder, "complete") for folder in plan.recorded_views]
        rows += [(folder, "-", "-", folder, "put there by hand, to be verified") for folder in plan.views_by_hand]
        if plan.is_by_hand and source.manual is not None:
            paths = [*source.manual.folders, *source.manual.annotations]
            there = "complete" if plan.is_verified else "to be verified"
            states = ("put it there by hand" if path in plan.by_hand else there for path in paths)
            rows += [(path, "-", "-", path, state) for path, state in zip(paths, states, strict=True)]
        if plan.unlisted:
            notes.append(f"{source.name}: not known: {plan.unlisted}")
        unsafe = unsafe_licenses(plan)
        notes += [f"{source.name}: license {name}: {because}" for name, because in unsafe.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *notes, *_totals(plans, settings, mbit)])


def summarize(plan: Plan) -> str:
    """Summarize in one line what remains to be done for a source."""
    name = plan.source.name
    if plan.source.generated:
        return f"{name}: to be generated"
    if plan.is_by_hand:
        what = f"put these there by hand: {', '.join(plan.by_hand)}" if plan.by_hand else "to be verified"
        return f"{name}: {'complete' if plan.is_done else what}"
    there = sum(item.is_done for item in plan.items)
    if plan.is_done:
        return f"{name}: complete ({count_of(there, 'file')})"
    parts = []
    waiting = sum(item.needs_network for item in plan.items)
    if waiting:
        parts.append(f"{count_of(waiting, 'file')} to fetch, {_size(plan.items)}")
    arrived = sum(item.state is State.ARRIVED for item in plan.items)
    parts += [f"{count_of(arrived, 'file')} to verify"] if arrived else []
    parts += [f"{there} complete"] if there else []
    parts += [f"to count: {', '.join(plan.to_count)}"] if plan.to_count and not waiting else []
    parts += [f"by hand, to verify: {', '.join(plan.views_by_hand)}"] if plan.views_by_hand else []
    parts += [plan.unlisted] if plan.unlisted else []
    return f"{name}: {'; '.join(parts)}"


def unsafe_licenses(plan: Plan) -> dict[str, str]:
    """Return the licenses among the planned files that do not allow commercial use, and why not."""
    source = plan.source
    found = [source.license_of(item.file) for item in plan.items]
    if not plan.items or plan.recorded_views or plan.unlisted:
        found.append(source.license)
    return {license.name: license.because for license in found if not license.commercial}


def _row(item: Item) -> tuple[str, ...]:
    file = item.file
    size = "?" if file.planned_bytes is None else decimal(file.planned_bytes)
    if file.bytes is None and file.planned_bytes is not None:
        size = f"about {size}"
    checksum = "recorded on first fetch"
    if item.expected.sha256 or item.expected.md5:
        kind, digest = ("sha256", item.expected.sha256) if item.expected.sha256 else ("md5", item.expected.md5 or "")
        checksum = f"{kind} {digest[:12]}..." + (" (data.lock)" if item.expected.origin else "")
    state = item.state.value
    if item.state is State.PARTIAL:
        state = f"{decimal(item.received)} downloaded"
    place = file.unpack if item.is_unpacked and file.unpack is not None else file.path
    unpacked = ", ".join(file.yields) if item.is_unpacked and file.yields else place
    return file.path, size, checksum, unpacked, state


def _totals(plans: Sequence[Plan], settings: Settings, mbit: float) -> list[str]:
    total = sum(plan.to_download for plan in plans)
    unknown = sum(item.needs_network and item.file.planned_bytes is None for plan in plans for item in plan.items)
    unlisted = [plan.source.name for plan in plans if plan.unlisted]
    more = [f"{count_of(unknown, 'file')} of unknown size"] if unknown else []
    more += [f"the files of {', '.join(unlisted)} on the hub"] if unlisted else []
    plus = f", and {' and '.join(more)}" if more else ""
    needed, free = disk_needed(plans), free_bytes(settings.output)
    fits = "" if needed <= free else ": does not fit"
    return [
        f"to download: {decimal(total)}{plus}; at {mbit:g} Mbit/s {_duration(total * 8 / (mbit * 1e6))}",
        f"disk: needs at most {decimal(needed)} (download, unpacked), {decimal(free)} free in {settings.output}{fits}",
    ]


def _size(items: Sequence[Item]) -> str:
    known = sum(item.to_download for item in items)
    is_known = all(item.file.planned_bytes is not None for item in items if item.needs_network)
    if is_known:
        return decimal(known)
    return f"{decimal(known)} or more" if known else "of unknown size"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
