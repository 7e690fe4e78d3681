"""What is wrong with an experiment is found before its first step, before a submission, and when it is planned."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vclr.config import Config, load_config
from vclr.data.readiness import check_experiment, check_names
from vclr.errors import UsageError, UserError
from vclr.files import read_json, write_json
from vclr.model_source import find_folder, list_model_files

MakeConfig = Callable[..., Config]
NONE = Path("/nowhere/at/all")
BACKBONE = ("model.backbone.name=transformers", "model.backbone.depth=50", "model.backbone.norm=FrozenBN")
BACKBONE += ("model.backbone.stem_out_channels=64", "model.backbone.res2_out_channels=256")


def test_sound_experiment_passes(make_config: MakeConfig):
    check_experiment(make_config())
    check_experiment(make_config("data.test.annotations=nowhere.json", "train.eval_period=5000", "train.max_iter=6"))
    check_experiment(make_config("train.eval_period=3", "views.weights={edge: 1, depth: 2, natural: 0}"))


@pytest.mark.parametrize(
    ("overrides", "error", "says"),
    [
        (["views.weights.dpth=1"], UsageError, r"^views\.weights\.dpth: no folder .* nearest: depth$"),
        (
            ["evaluation.groups.novel=[disk, elipse]"],
            UserError,
            r"^evaluation\.groups\.novel: .*no category 'elipse'; near",
        ),
        (
            ["evaluation.protocol=nonvok"],
            UsageError,
            r"^evaluation\.protocol=nonvok: unknown protocol; nearest: nonvoc",
        ),
        (["data.train.views.depth=nowhere"], UserError, r"^data\.train\.views\.depth=nowhere: does not exist$"),
        (["data.train.images=nowhere"], UserError, r"^data\.train\.images=nowhere: does not exist$"),
        (["data.train.proposals=nowhere.json"], UserError, r"^data\.train\.proposals=nowhere.json: does not exist$"),
        (["data.test.annotations=nowhere.json", "train.eval_period=3"], UserError, r"^data\.test\.annotations=nowhere"),
        (
            ["data.test.images=nowhere", "train.eval_period=3"],
            UserError,
            r"^data\.test\.images=nowhere: does not exist",
        ),
        (
            [*BACKBONE, "model.backbone.source=no/such/folder"],
            UserError,
            r"^no/such/folder: no such folder; name a folder, or a model of the hub",
        ),
        (
            [*BACKBONE, "model.backbone.source=configs/backbones/swin", "model.backbone.revision=main"],
            UsageError,
            r"^model\.backbone\.revision=main: configs/backbones/swin is a folder, which has no revisions",
        ),
        (["train.init_checkpoint=nowhere.pth"], UserError, r"^train\.init_checkpoint=nowhere\.pth: no such checkpoint"),
    ],
)
def test_what_cannot_be_found_is_named(make_config: MakeConfig, overrides: list[str], error: type, says: str):
    with pytest.raises(error, match=says):
        check_experiment(make_config(*overrides), reads_training_set=False)


def test_a_backbone_of_the_package_is_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    config = load_config("configs/experiment/ablation/toy/swin_tiny.yaml")
    folder = find_folder(config.model.backbone.source)
    assert folder and [path.name for path in list_model_files(folder)] == ["config.json"]
    check_names(config)


def test_a_hub_that_cannot_be_asked_is_said_before_training(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """But not once there is a checkpoint, which needs no source."""
    pytest.importorskip("transformers", reason="needs transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = make_config(*BACKBONE, "model.backbone.source=someone/tiny")
    with pytest.raises(UserError, match=r"^someone/tiny: no such folder, and the hub gave no model"):
        check_experiment(config, reads_training_set=False)
    check_experiment(config, needs_first_weights=False, reads_training_set=False)


@pytest.mark.parametrize("part", ["train", "test"])
def test_missing_photo_is_found(make_config: MakeConfig, tmp_path: Path, part: str):
    config = make_config()
    data_set = getattr(config.data, part)
    shutil.copytree(data_set.images, tmp_path / "images")
    missing = tmp_path / "images" / read_json(data_set.annotations)["images"][-1]["file_name"]
    missing.unlink()
    data_set.images = str(tmp_path / "images")
    with pytest.raises(UserError, match=f"file {missing} does not exist"):
        check_experiment(config)


def test_missing_view_is_found(make_config: MakeConfig, tmp_path: Path):
    config = make_config()
    shutil.copytree(config.data.train.views["depth"], tmp_path / "depth")
    next((tmp_path / "depth").glob("*train*")).unlink()
    config.data.train.views["depth"] = str(tmp_path / "depth")
    with pytest.raises(UserError, match="view depth of 1 photos is missing; the first: "):
        check_experiment(config)


def test_test_set_may_come_later_and_first_weights_go(make_config: MakeConfig):
    check_experiment(make_config("data.test.annotations=later.json", "evaluation.groups.novel=[anything]"))
    check_experiment(make_config("train.init_checkpoint=gone.pth"), needs_first_weights=False)


def test_names_need_no_data(tmp_path: Path):
    """As when a workflow is planned whose downloads are still to come."""
    root = f"data.root={tmp_path}"
    check_names(load_config(None, [root]))
    with pytest.raises(UsageError, match="nearest: style"):
        check_names(load_config(None, [root, "views.weights.styl=1"]))
    later = load_config(None, [root, "evaluation.groups.novel=[kat]"])
    check_names(later)
    json = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    write_json(tmp_path / "splits/coco2017_val_nonvoc.json", json)
    with pytest.raises(UserError, match="nearest: 'cat'"):
        check_names(later)


def test_no_torch_is_loaded():
    code = "import sys, vclr.data.readiness; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
