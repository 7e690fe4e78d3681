"""Which photo a name in annotations means."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.errors import UserError
from vclr.generate.importers.find_photo import PhotoFinder


def finder(folder: Path, *names: str) -> PhotoFinder:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return PhotoFinder(folder)


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("clip.001", "clip.001.jpg"),  # no suffix: .001 is part of the name
        ("clip.001.png", "clip.001.jpg"),
        ("clip", "clip.jpg"),
        ("clip.HEIC", "clip.jpg"),
        ("other/clip.jpg", "clip.jpg"),
    ],
)
def test_names_with_dots(tmp_path: Path, named: str, found: str):
    assert finder(tmp_path, "clip.jpg", "clip.001.jpg").find(named, "entry") == found


def test_name_with_a_dot_is_not_another_photo(tmp_path: Path):
    with pytest.raises(UserError, match=r"its photo 'clip.002' is not in .*; nearest: .*clip"):
        finder(tmp_path, "clip.jpg", "clip.001.jpg").find("clip.002", "entry")
