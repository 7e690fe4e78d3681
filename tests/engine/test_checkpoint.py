"""Checkpoints: the last one and as many before it as wanted, whole or absent; damage is seen and stepped back from."""

from __future__ import annotations

import logging
import os
import random
import re
import resource
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from vclr.engine.checkpoint import Checkpoints, read_intact
from vclr.errors import UserError


def make(iteration: int) -> dict[str, Any]:
    return {"iteration": iteration, "model": {"weight": torch.full((300,), float(iteration))}, "numbers": [0.1, 2]}


def accept(checkpoint: dict[str, Any], name: str) -> None:
    """Take any checkpoint for whole; tests/engine/test_altered.py is about that."""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def step(iteration: int) -> str:
    return f"step{iteration:08d}.pt"


def save_all(folder: Path, iterations: tuple[int, ...], max_to_keep: int) -> Checkpoints:
    checkpoints = Checkpoints(folder, max_to_keep)
    for iteration in iterations:
        checkpoints.save(make(iteration))
        assert read_intact(folder / "last.pt")["iteration"] == iteration
    return checkpoints


# --- which stay ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_to_keep", "kept"), [(0, []), (1, [40]), (3, [20, 30, 40]), (9, [10, 20, 30, 40])])
def test_newest_before_the_last_stay(tmp_path: Path, max_to_keep: int, kept: list[int]):
    save_all(tmp_path, (10, 20, 30, 40, 50), max_to_keep)
    assert names_in(tmp_path) == ["last.pt", *map(step, kept)]
    for iteration in kept:
        assert read_intact(tmp_path / step(iteration))["iteration"] == iteration


def test_file_system_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*paths: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    save_all(tmp_path, (10, 20), 1)
    assert names_in(tmp_path) == ["last.pt", step(10)]
    assert read_intact(tmp_path / step(10))["iteration"] == 10


def test_going_on_keeps_the_one_gone_on_from(tmp_path: Path):
    save_all(tmp_path, (10, 20), 1)
    checkpoints = Checkpoints(tmp_path, 1)
    assert checkpoints.load(accept)["iteration"] == 20
    checkpoints.save(make(30))
    assert names_in(tmp_path) == ["last.pt", step(20)]


def test_other_files_stay(tmp_path: Path):
    (tmp_path / "step1.pt").touch()
    (tmp_path / "mine.pt").touch()
    save_all(tmp_path, (10, 20), 0)
    assert names_in(tmp_path) == ["last.pt", "mine.pt", "step1.pt"]


# --- damage ----------------------------------------------------------------------------------------------------------


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def flip_in_tensor(path: Path) -> None:
    flip(path, path.read_bytes().index(torch.full((300,), 30.0).numpy().tobytes()) + 400)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped byte": (flip_in_tensor, r"is damaged \(.*data/0 does not fit its checksum\)"),
    "truncated": (cut, r"is damaged \(File is not a zip file\)"),
    "empty": (lambda path: path.write_bytes(b""), r"is damaged \(File is not a zip file\)"),
    "missing": (Path.unlink, "is missing"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_last_one_falls_back_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str):
    apply, says = DAMAGES[damage]
    save_all(tmp_path, (10, 20, 30), 2)
    apply(tmp_path / "last.pt")
    checkpoints = Checkpoints(tmp_path, 2)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load(accept)["iteration"] == 20
    (warning,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(f"{tmp_path}/last.pt: {says}; continuing from {tmp_path}/{step(20)}", warning)
    with pytest.raises(UserError, match=f"^{tmp_path}/last.pt: {says}$"):
        read_intact(tmp_path / "last.pt")


def test_damaged_one_is_never_kept(tmp_path: Path):
    """What was stepped back from is replaced, not given a second name; the steps after it are of no use either."""
    save_all(tmp_path, (10, 20, 30), 2)
    cut(tmp_path / "last.pt")
    cut(tmp_path / step(20))
    checkpoints = Checkpoints(tmp_path, 2)
    assert checkpoints.load(accept)["iteration"] == 10
    checkpoints.save(make(15))
    assert names_in(tmp_path) == ["last.pt", step(10)]
    assert read_intact(tmp_path / "last.pt")["iteration"] == 15
    assert read_intact(tmp_path / step(10))["iteration"] == 10


def test_none_intact_says_what_to_do(tmp_path: Path):
    save_all(tmp_path, (10, 20, 30), 1)
    for path in tmp_path.iterdir():
        cut(path)
    with pytest.raises(UserError, match=r"last\.pt: is damaged .*; no other is intact: put one back, or move"):
        Checkpoints(tmp_path, 1).load(accept)


def test_any_flipped_bit_is_seen_or_changes_nothing(tmp_path: Path):
    """In records, names and checksums, and in the directory at the end, where one bit makes torch return garbage."""
    path, damaged = tmp_path / "a.pt", tmp_path / "b.pt"
    torch.save({"weight": torch.arange(20.0), "bias": torch.ones(3)}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    chooser = random.Random(0)
    places = [(position, chooser.randrange(8)) for position in range(0, directory, 16)]
    places += [(position, bit) for position in range(directory, len(content)) for bit in (4, chooser.randrange(8))]
    seen = 0
    for position, bit in places:
        damaged.write_bytes(content)
        flip(damaged, position, bit)
        try:
            loaded = read_intact(damaged)
        except UserError:
            seen += 1
        else:
            assert torch.equal(loaded["weight"], torch.arange(20.0)), f"bit {bit} of byte {position}"
            assert torch.equal(loaded["bias"], torch.ones(3)), f"bit {bit} of byte {position}"
    assert seen > len(places) / 2


# --- writes that fail ------------------------------------------------------------------------------------------------


def test_failed_write_leaves_what_was_there(tmp_path: Path):
    checkpoints = save_all(tmp_path, (10, 20), 1)
    with pytest.raises(Exception, match="pickle"):
        checkpoints.save({**make(30), "model": lambda: None})
    assert read_intact(tmp_path / "last.pt")["iteration"] == 20
    assert names_in(tmp_path) == ["last.pt", step(10)]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Have the kernel refuse what goes beyond a size, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("before", [(), (10,), (10, 20)], ids=["none before", "one before", "two before"])
def test_write_beyond_a_limit_is_one_line(tmp_path: Path, before: tuple[int, ...]):
    checkpoints = save_all(tmp_path, before, 1)
    names = names_in(tmp_path)
    intact = f"; the checkpoint of iteration {before[-1]} is intact" if before else ""
    line = f"{tmp_path}/last.pt: could not be written: File too large{intact}"
    large = {**make(30), "large": torch.zeros(1 << 16)}
    for _ in range(2):
        with largest_file(1 << 16), pytest.raises(UserError, match=f"^{line}$"):
            checkpoints.save(large)
        assert names_in(tmp_path) == names
    if before:
        assert read_intact(tmp_path / "last.pt")["iteration"] == before[-1]
    checkpoints.save(large)
    assert read_intact(tmp_path / "last.pt")["iteration"] == 30
