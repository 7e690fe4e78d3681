"""Sound files, made once, and a copy of them for each case."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.fuzz.sound import write_checkpoint, write_world


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
def copy(sound: Path, tmp_path: Path) -> Path:
    """Return a copy of the sound files for one case."""
    folder = tmp_path / "case"
    shutil.copytree(sound, folder, ignore=shutil.ignore_patterns("checkpoint"))
    (folder / "checkpoint").symlink_to(sound / "checkpoint")
    return folder
