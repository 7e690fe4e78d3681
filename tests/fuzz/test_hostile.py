"""Hostile input of every kind: each case ends well or in one line, touches nothing else, and is never silently wrong.

README.md in this folder says how to run one case alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.fuzz import archives, checkpoints, coco_json, importers, manifests, pictures, predictions, settings
from tests.fuzz.judge import judge_all, judge_apart
from tests.fuzz.sound import write_checkpoint, write_world

pytestmark = pytest.mark.slow

KINDS: dict[str, tuple[ModuleType, int]] = {
    "coco": (coco_json, 640),
    "predictions": (predictions, 200),
    "picture": (pictures, 260),
    "importer": (importers, 260),
    "archive": (archives, 160),
    "checkpoint": (checkpoints, 240),
    "manifest": (manifests, 100),
    "settings": (settings, 160),
}
CASES = [(kind, number) for kind, (_, count) in KINDS.items() for number in range(count)]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of sound files, of which each case gets a copy."""
    folder = tmp_path_factory.mktemp("fuzz") / "sound"
    folder.mkdir()
    write_world(folder)
    write_checkpoint(folder / "checkpoint" / "sound.pt", folder / "tiny.yaml")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Iterator[Path]:
    """Return a copy of the sound files for one case."""
    folder = tmp_path / "case"
    shutil.copytree(sound, folder, ignore=shutil.ignore_patterns("checkpoint"))
    (folder / "checkpoint").symlink_to(sound / "checkpoint")
    yield folder
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize(("kind", "number"), CASES, ids=[f"{kind}-{number:04d}" for kind, number in CASES])
def test_hostile_input(kind: str, number: int, copy: Path):
    kind_of_input = KINDS[kind][0]
    trials = kind_of_input.make(number, copy)
    faults = (judge_apart if kind == "checkpoint" else judge_all)(trials, copy)
    assert not faults, "\n".join(faults).replace(str(copy), "CASE")
