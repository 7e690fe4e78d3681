"""Find the training whose folder was mistyped: a folder of nearly the same name with the same settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from vclr.config import Config, read_config
from vclr.engine.same_training import is_same_training
from vclr.errors import UserError

TYPOS = 2  # letters that may differ between a name and its mistyped form


def nearest_training(config: Config) -> Path | None:
    """Return the folder near `train.output_dir` that holds a training of these settings, None if there is none.

    Names that differ in numbers only are not near: `seed1` is not mistyped for `seed0`.
    """
    folder = Path(config.train.output_dir)
    return next((near for near in _near_folders(folder) if near != folder and _holds(near, config)), None)


def _near_folders(folder: Path) -> Iterator[Path]:
    """Yield folders whose path differs in one part, or has one more or one less."""
    parts = folder.parts
    for place, name in enumerate(parts):
        parent = Path(*parts[:place])
        likeness = max(0.6, 1 - TYPOS / max(1, len(name)))
        for near in difflib.get_close_matches(name, _folders_in(parent), n=5, cutoff=likeness):
            if near != name and _without_numbers(near) != _without_numbers(name):
                yield parent.joinpath(near, *parts[place + 1 :])
    yield folder.parent
    yield from (folder / name for name in _folders_in(folder))


def _folders_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    except OSError:
        return []


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "", name)


def _holds(folder: Path, config: Config) -> bool:
    described = folder / "config.yaml"
    try:
        if not (folder / "checkpoints").is_dir() or not described.is_file():
            return False
        return is_same_training(read_config(described), config)
    except (OSError, UnicodeDecodeError, UserError):
        return False
