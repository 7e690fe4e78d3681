"""Checkpoints: the last one, and as many earlier ones as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vclr.engine.checkpoint import save_checkpoint


@pytest.mark.parametrize(("max_to_keep", "kept"), [(0, []), (1, [50]), (3, [30, 40, 50]), (9, [10, 20, 30, 40, 50])])
def test_newest_checkpoints_stay(tmp_path: Path, max_to_keep: int, kept: list[int]):
    for iteration in (10, 20, 30, 40, 50):
        save_checkpoint(tmp_path, {"iteration": iteration, "model": torch.zeros(2)}, max_to_keep)
        assert torch.load(tmp_path / "last.pt", weights_only=True)["iteration"] == iteration
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["last.pt", *(f"step{iteration:08d}.pt" for iteration in kept)]
    for iteration in kept:
        assert torch.load(tmp_path / f"step{iteration:08d}.pt", weights_only=True)["iteration"] == iteration


def test_other_files_stay(tmp_path: Path):
    (tmp_path / "step1.pt").touch()
    (tmp_path / "mine.pt").touch()
    save_checkpoint(tmp_path, {"iteration": 10}, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "mine.pt", "step1.pt"]


def test_failed_write_leaves_the_last_one(tmp_path: Path):
    save_checkpoint(tmp_path, {"iteration": 10}, 1)
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(tmp_path, {"iteration": 20, "model": lambda: None}, 1)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["iteration"] == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "step00000010.pt"]
