"""What a training reads makes it the training that it is: each file counts, whatever its path."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vclr.config import Config
from vclr.engine.data_hashes import hash_training_data
from vclr.engine.same_training import differing_data
from vclr.errors import UserError
from vclr.files import sha256


@pytest.fixture
def config(make_config: Callable[..., Config], tmp_path: Path) -> Config:
    """A training of copies of all that it reads; nothing has a manifest."""
    config = make_config()
    for name in ("images", "depth", "style"):
        source = config.data.train.images if name == "images" else config.data.train.views[name]
        shutil.copytree(source, tmp_path / name, ignore=lambda folder, names: [n for n in names if n.endswith("json")])
    for name in ("annotations", "proposals"):
        shutil.copyfile(config.data.train.annotations, tmp_path / f"{name}.json")
    (tmp_path / "first.pth").write_bytes(b"weights")
    paths = [f"data.train.{name}={tmp_path}/{name}.json" for name in ("annotations", "proposals")]
    paths += [f"data.train.views.{name}={tmp_path}/{name}" for name in ("depth", "style")]
    return make_config(f"data.train.images={tmp_path}/images", f"train.init_checkpoint={tmp_path}/first.pth", *paths)


def test_everything_has_a_hash(config: Config, tmp_path: Path):
    hashes = hash_training_data(config)
    assert hashes.keys() == {"annotations", "images", "proposals", "weights", "view_depth", "view_style"}
    assert hashes["weights"] == sha256(tmp_path / "first.pth")
    config.train.eval_period = 5
    assert hash_training_data(config).keys() - hashes.keys() == {"test_annotations", "test_images"}
    config.views.weights = {"natural": 1.0, "depth": 1.0, "style": 0.0}
    assert "view_style" not in hash_training_data(config), "which nobody reads"


@pytest.mark.parametrize("changed", ["annotations", "proposals", "weights", "images", "view_depth"])
def test_other_bytes_under_the_same_path_are_another_training(config: Config, tmp_path: Path, changed: str):
    before = hash_training_data(config)
    files = {"weights": tmp_path / "first.pth"}
    folders = {"images": tmp_path / "images", "view_depth": tmp_path / "depth"}
    stems = [Path(name).stem for name in sorted(path.name for path in (tmp_path / "depth").iterdir())]
    if changed in folders:
        (path,) = folders[changed].glob(f"{stems[0]}.*")
    else:
        path = files.get(changed, tmp_path / f"{changed}.json")
    with path.open("ab") as file:
        file.write(b" ")
    assert differing_data(before, hash_training_data(config)) == [changed]


def test_a_backbone_counts_while_its_folder_is_there(config: Config, tmp_path: Path):
    config.model.backbone.source = str(tmp_path / "backbone")
    gone = hash_training_data(config)
    (tmp_path / "backbone").mkdir()
    weights = tmp_path / "backbone" / "model.safetensors"
    weights.write_bytes(b"weights")
    before = hash_training_data(config)
    weights.write_bytes(b"others")
    assert differing_data(before, hash_training_data(config)) == ["backbone"]
    assert differing_data(before, gone) == []


def test_a_backbone_of_the_hub_counts_by_its_commit(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    config.model.backbone.source = "someone/tiny"
    unknown = hash_training_data(config)
    kept = tmp_path / "hub" / "models--someone--tiny"
    hashes = {}
    for branch, commit in (("main", "a" * 40), ("older", "b" * 40)):
        (kept / "snapshots" / commit).mkdir(parents=True)
        (kept / "snapshots" / commit / "config.json").write_text("{}")
        (kept / "refs").mkdir(exist_ok=True)
        (kept / "refs" / branch).write_text(commit)
        config.model.backbone.revision = "" if branch == "main" else branch
        hashes[branch] = hash_training_data(config)
        assert hashes[branch]["backbone"] == commit
    assert differing_data(hashes["main"], hashes["older"]) == ["backbone"]
    assert differing_data(hashes["main"], unknown) == []


def test_other_files_beside_do_not_matter(config: Config, tmp_path: Path):
    before = hash_training_data(config)
    (tmp_path / "images" / "new.png").write_bytes(b"a photo of tomorrow")
    (tmp_path / "images" / "notes.json").write_text("{}")
    assert hash_training_data(config) == before


def test_first_weights_that_are_gone_and_the_test_set_are_not_compared(config: Config, tmp_path: Path):
    before = hash_training_data(config)
    (tmp_path / "first.pth").unlink()
    assert differing_data(before, hash_training_data(config)) == []
    assert differing_data({"test_images": "a"}, {"test_images": "b"}) == []
    assert differing_data({"test_images": "a"}, {"test_images": "b"}, with_test_set=True) == ["test_images"]


def test_images_that_are_no_entries_are_one_line(config: Config, tmp_path: Path):
    annotations = tmp_path / "annotations.json"
    content = json.loads(annotations.read_text())
    for entry in (5, None, [], {"id": 1}, {"id": 1, "file_name": 5, "height": 1, "width": 1}):
        annotations.write_text(json.dumps({**content, "images": [entry]}))
        with pytest.raises(UserError, match=rf"^{annotations}: images\[0\]: "):
            hash_training_data(config)


def test_photos_in_several_folders(config: Config, tmp_path: Path):
    """The names and sizes count, not which of the folders has a photo."""
    before = hash_training_data(config)
    photo = min((tmp_path / "images").iterdir())
    (tmp_path / "more").mkdir()
    photo.rename(tmp_path / "more" / photo.name)
    config.data.train.images = [str(tmp_path / "images"), str(tmp_path / "more")]
    assert differing_data(before, hash_training_data(config)) == []
    with (tmp_path / "more" / photo.name).open("ab") as file:
        file.write(b" ")
    assert differing_data(before, hash_training_data(config)) == ["images"]
