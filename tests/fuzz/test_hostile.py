"""Hostile input of every kind: each case ends well or in one line, touches nothing else, and is never silently wrong.

README.md in this folder says how to run one case alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.fuzz import archives, checkpoints, coco_json, importers, manifests, pictures, predictions, settings
from tests.fuzz.judge import judge_all, judge_apart

pytestmark = pytest.mark.slow

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
CASES = [(kind, number) for kind, (_, count) in KINDS.items() for number in range(count)]


@pytest.mark.parametrize(("kind", "number"), CASES, ids=[f"{kind}-{number:04d}" for kind, number in CASES])
def test_hostile_input(kind: str, number: int, copy: Path):
    kind_of_input = KINDS[kind][0]
    trials = kind_of_input.make(number, copy)
    faults = (judge_apart if kind == "checkpoint" else judge_all)(trials, copy)
    assert not faults, "\n".join(faults).replace(str(copy), "CASE")
    shutil.rmtree(copy)  # of a case that fails, the files stay
