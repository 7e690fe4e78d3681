"""`vclr predict`: a json and a picture for each photo, and nothing half-written for one that is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vclr.config import dump_config, load_config
from vclr.errors import UsageError, UserError
from vclr.evaluation.predict import predict_files
from vclr.files import read_json
from vclr.models.build import build_model
from vclr.pictures import read_image, write_png

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model as a training would have saved it."""
    config = load_config(DEMO, ["model.num_queries=20", "dataloader.test.mapper.short_edge_length=64"])
    state = build_model(config).state_dict()
    path = tmp_path_factory.mktemp("weights") / "last.pt"
    torch.save({"model": state, "teacher": state, "iteration": 1, "config": dump_config(config)}, path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    write_png(tmp_path / "photos" / "a.png", image)
    return tmp_path / "photos" / "a.png"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_each_photo_gets_a_json_and_a_picture(checkpoint: Path, photo: Path, tmp_path: Path):
    predict_files([photo], checkpoint, tmp_path / "out", 0.0, "cpu")
    assert names_in(tmp_path / "out") == ["a.json", "a.png"]
    results = read_json(tmp_path / "out" / "a.json")
    assert len(results) > 0
    for result in results:
        assert result["file_name"] == "a.png"
        assert result["segmentation"]["size"] == [50, 70]
    height, width = read_image(tmp_path / "out" / "a.png").shape[:2]
    assert height / width == pytest.approx(50 / 70)


def test_scores_below_the_limit_are_in_the_json_only(checkpoint: Path, photo: Path, tmp_path: Path):
    for name, min_score in (("all", 0.0), ("none", 1.1)):
        predict_files([photo], checkpoint, tmp_path / name, min_score, "cpu")
    assert read_json(tmp_path / "all" / "a.json") == read_json(tmp_path / "none" / "a.json") != []
    assert (read_image(tmp_path / "all" / "a.png") != read_image(tmp_path / "none" / "a.png")).any()


def test_photo_that_is_none_leaves_nothing_half_written(checkpoint: Path, photo: Path, tmp_path: Path):
    bad = photo.with_name("b.png")
    bad.write_text("not an image")
    with pytest.raises(UserError, match=r"b\.png: is not an image"):
        predict_files([photo, bad], checkpoint, tmp_path / "out", 0.3, "cpu")
    assert names_in(tmp_path / "out") == ["a.json", "a.png"]


def test_photos_of_one_name_are_refused(checkpoint: Path, photo: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="two photos are called a"):
        predict_files([photo, tmp_path / "a.jpg"], checkpoint, tmp_path / "out", 0.3, "cpu")


def test_weights_without_a_configuration_are_of_the_published_model(photo: Path, tmp_path: Path):
    torch.save({"model": {}}, tmp_path / "bare.pt")
    with pytest.raises(UserError, match=r"bare\.pt: nothing in it fits the model"):
        predict_files([photo], tmp_path / "bare.pt", tmp_path / "out", 0.3, "cpu")
    assert names_in(tmp_path / "out") == []


def test_unknown_device_is_one_line(checkpoint: Path, photo: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="train.device=warp"):
        predict_files([photo], checkpoint, tmp_path / "out", 0.3, "warp")
