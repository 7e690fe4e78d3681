"""The findings of `vclr doctor`, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from vclr.errors import in_one_line

OK, WARNING, ERROR = "ok", "warning", "error"
LEVELS = (OK, WARNING, ERROR)


class Finding(NamedTuple):
    """The result of one check: its level, its topic, a description, and how to fix it."""

    level: str
    topic: str
    says: str
    fix: str = ""


def print_finding(finding: Finding) -> None:
    """Print a finding without buffering, and its fix below it."""
    print(f"{finding.level:8} {in_one_line(f'{finding.topic}: {finding.says}')}", flush=True)
    _print_fix(finding)


def print_groups(findings: Iterable[Finding], limit: int) -> None:
    """Print notes, then warnings, then errors: at most `limit` per topic, followed by the fix."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.level, finding.topic), []).append(finding)
    for _, group in sorted(groups.items(), key=lambda item: LEVELS.index(item[0][0])):
        for finding in group[:limit]:
            print_finding(finding._replace(fix=""))
        if len(group) > limit:
            print(f"{'':8} and {len(group) - limit} more: {group[0].topic}")
        _print_fix(group[0])


def _print_fix(finding: Finding) -> None:
    if finding.fix:
        print(f"{'':8} -> {finding.fix}", flush=True)
