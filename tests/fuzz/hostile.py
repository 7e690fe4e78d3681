"""Hostile input of every kind: each case ends well or in one line, touches nothing else, and is never silently wrong.

README.md in this folder says how to run one case alone. The kinds are in two files of tests, one for each core of CI.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.fuzz import archives, checkpoints, coco_json, importers, manifests, pictures, predictions, settings
from tests.fuzz.judge import judge_all, judge_apart

KINDS: dict[str, tuple[ModuleType, int]] = {
    "coco": (coco_json, 700),
    "predictions": (predictions, 200),
    "picture": (pictures, 260),
    "importer": (importers, 420),
    "archive": (archives, 240),
    "checkpoint": (checkpoints, 140),
    "manifest": (manifests, 100),
    "settings": (settings, 160),
}
SHARE = 1 if os.environ.get("VCLR_FUZZ") == "all" else 2  # one half of the cases, unless all are asked for


def every_case(*kinds: str) -> Callable[[Callable[..., Any]], Any]:
    """Parametrize a test by `kind` and `number` with the cases of some kinds."""
    cases = [(kind, number) for kind in kinds for number in range(KINDS[kind][1] // SHARE)]
    return pytest.mark.parametrize(("kind", "number"), cases, ids=[f"{kind}-{number:04d}" for kind, number in cases])


def try_case(kind: str, number: int, copy: Path) -> None:
    """Make a case in the copy of a sound project and judge what every command that takes it does."""
    trials = KINDS[kind][0].make(number, copy)
    faults = (judge_apart if kind == "checkpoint" else judge_all)(trials, copy)
    assert not faults, "\n".join(faults).replace(str(copy), "CASE")
    shutil.rmtree(copy)  # of a case that fails, the files stay
