"""What the code and the data of trainings differ in."""

from __future__ import annotations

import difflib
import subprocess
from pathlib import Path
from typing import Any

from vclr.report.experiments import Experiment
from vclr.tracking.data_sets import TEST
from vclr.wording import count_of

DIGITS = 12  # of a revision or a hash that are shown
MAX_LINES = 40  # of a diff that are shown


def data_differences(one: Experiment, other: Experiment) -> dict[str, list[str | None]] | None:
    """Return the data whose hashes differ, with the hash of each; None if a training recorded none.

    Of the test set, only a training that evaluates on the way records hashes.
    """
    if not one.data_hashes or not other.data_hashes:
        return None
    names = dict.fromkeys([*one.data_hashes, *other.data_hashes])
    pairs = {name: [_short(run.data_hashes.get(name)) for run in (one, other)] for name in names}
    known = {name: pair for name, pair in pairs.items() if None not in pair or not name.startswith(TEST)}
    return {name: pair for name, pair in known.items() if pair[0] != pair[1]}


def describe_data(one: Experiment, other: Experiment) -> str:
    """Say in a sentence what data two trainings read, as far as they recorded hashes."""
    found = data_differences(one, other)
    if found is None:
        return "The hashes of the data are not known."
    if not found:
        return f"The same data: {', '.join(name.replace('_', ' ') for name in other.data_hashes)}."
    pairs = (
        f"{name.replace('_', ' ')} ({first or 'none'} instead of {second or 'none'})"
        for name, (first, second) in found.items()
    )
    return f"Other data: {', '.join(pairs)}."


def code_differences(one: Experiment, other: Experiment) -> dict[str, Any]:
    """Return what is known of the code of two trainings.

    Returns:
        `revisions`, the git revision of each or None; `is_same`, None if it is not known; `files`, which files changed
        from one revision to the other, as `git diff --stat` says it; `changes`, the lines of a diff of the changes that
        were not committed.
    """
    revisions = [str(run.environment.get("git_revision") or "") or None for run in (one, other)]
    changes = [run.code_changes for run in (one, other)]
    is_same = None
    if all(revisions):
        is_same = False if revisions[0] != revisions[1] else changes[0] == changes[1] if None not in changes else None
    new, old = revisions
    files = _changed_files(old, new) if new and old and new != old else []
    lines: list[str] = []
    if changes[0] is not None and changes[1] is not None:
        before, after = changes[1].splitlines(), changes[0].splitlines()
        lines = [*difflib.unified_diff(before, after, other.name, one.name, lineterm="", n=1)]
    return {"revisions": revisions, "is_same": is_same, "files": files, "changes": lines}


def describe_code(one: Experiment, other: Experiment) -> list[str]:
    """Say how the code of a training differs from that of another one, in lines of Markdown."""
    found = code_differences(one, other)
    revisions = [_short(revision) for revision in found["revisions"]]
    if None in revisions:
        return ["The git revision is not known."]
    if found["is_same"]:
        return [f"The same code: revision {revisions[0]}{' with local changes' * bool(one.code_changes)}."]
    if revisions[0] == revisions[1]:
        said = "with other local changes" if found["changes"] else "with local changes that are not known"
        return [f"The same revision {revisions[0]}, {said}.", *_fenced(found["changes"])]
    lines = [f"Revision {revisions[0]} instead of {revisions[1]}.", *_fenced(found["files"], "")]
    if any(run.code_changes is None for run in (one, other)):
        return [*lines, "The local changes are not known."]
    return [*lines, *(["The local changes differ:", *_fenced(found["changes"])] if found["changes"] else [])]


def _fenced(lines: list[str], language: str = "diff") -> list[str]:
    if not lines:
        return []
    left_out = len(lines) - MAX_LINES
    shown = [*lines[:MAX_LINES], *([f"... and {count_of(left_out, 'more line')}"] if left_out > 0 else [])]
    return ["", f"```{language}", *shown, "```", ""]


def _changed_files(old: str, new: str) -> list[str]:
    """Return the lines of `git diff --stat`, from the repository at hand that knows both revisions; empty if none."""
    for folder in (Path.cwd(), Path(__file__).parents[2]):
        command = ["git", "-C", str(folder), "diff", "--stat=100", old, new, "--"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return [line.strip() for line in done.stdout.splitlines()]
    return []


def _short(text: str | None) -> str | None:
    return str(text)[:DIGITS] if text else None
