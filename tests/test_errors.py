"""What was meant: the nearest key, the nearest path; and what an operating system's error becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.config import list_keys
from vclr.errors import describe_missing, explain, nearest_key, nearest_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train.lr", "optimizer.lr"),
        ("lr", "optimizer.lr"),
        ("optim.lr", "optimizer.lr"),
        ("train.iters", "train.max_iter"),
        ("max_iters", "train.max_iter"),
        ("seed", "train.seed"),
        ("model.num_query", "model.num_queries"),
        ("modle.num_queries", "model.num_queries"),
        ("backbone.depth", "model.backbone.depth"),
        ("data.train.anotations", "data.train.annotations"),
        ("data.test.image", "data.test.images"),
        ("trian.max_iter", "train.max_iter"),
    ],
)
def test_nearest_key_is_found_by_its_last_part_first(typed: str, meant: str):
    assert nearest_key(typed, list_keys()) == meant


def test_nearest_path_is_beside_or_the_folder_that_was_mistyped(tmp_path: Path):
    (tmp_path / "mine" / "images").mkdir(parents=True)
    (tmp_path / "mine" / "train.json").touch()
    (tmp_path / "mien.json").touch()
    assert nearest_path(tmp_path / "mine" / "trian.json") == tmp_path / "mine" / "train.json"
    assert nearest_path(tmp_path / "mine" / "Images") == tmp_path / "mine" / "images"
    assert nearest_path(tmp_path / "mien" / "train.json") == tmp_path / "mine"  # a folder, not mien.json
    assert nearest_path(tmp_path / "mine" / "entirely else") is None
    assert nearest_path("/") is None
    assert describe_missing(tmp_path / "mine", "is empty") == f"{tmp_path}/mine: is empty"


def test_error_of_the_system_names_the_nearest_path(tmp_path: Path):
    (tmp_path / "a.json").touch()
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "b.json").read_text()
    assert explain(raised.value) == (f"{tmp_path}/b.json: does not exist; nearest: {tmp_path}/a.json", 1)
    with pytest.raises(IsADirectoryError) as is_folder:
        tmp_path.read_text()
    assert explain(is_folder.value) == (f"{tmp_path}: Is a directory", 1)
