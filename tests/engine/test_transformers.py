"""Trainings of backbones of transformers: they resume exactly, and their checkpoints need no other file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="needs transformers")

from tests.engine.same import assert_same_training, checkpoint, records  # noqa: E402
from tests.engine.test_distributed import SETTINGS, assert_one_training, compute  # noqa: E402
from tests.shared import PHOTOS  # noqa: E402
from tests.tiny_backbones import DINOV2_SMALL, RESNET_DEFAULTS, SWIN_TINY, TINY, save_config  # noqa: E402
from vclr.config import Config, config_from_text, dump_config  # noqa: E402
from vclr.engine.convert import convert  # noqa: E402
from vclr.engine.train import train  # noqa: E402
from vclr.errors import UsageError, UserError  # noqa: E402
from vclr.evaluation.inference import predict  # noqa: E402
from vclr.export.write import ExportRequest, write_export  # noqa: E402
from vclr.models.backbone import with_architecture  # noqa: E402
from vclr.models.ready import fill_detector, open_detector  # noqa: E402
from vclr.models.weights import read_weights  # noqa: E402

MakeConfig = Callable[..., Config]


def train_and_go_on(configure: MakeConfig, source: Path, folder: Path, steps: int) -> Path:
    """Train, go on again from the middle, without the source; compare, and return the folder of what went on."""
    length = f"train.max_iter={steps}", f"train.checkpointer.period={steps // 2}"
    train(configure(f"train.output_dir={folder}/straight", *length), quiet=True)
    parts = shutil.copytree(folder / "straight", folder / "parts")
    (parts / "DONE").unlink()
    (parts / "checkpoints" / f"step{steps // 2:08}.pt").rename(parts / "checkpoints" / "last.pt")
    shutil.rmtree(source)
    train(configure(f"train.output_dir={parts}", *length), resume=True, quiet=True)
    assert f"continuing from iteration {steps // 2}" in (parts / "log.txt").read_text()
    assert_same_training(folder / "straight", parts)
    assert len({group["lr"] for group in checkpoint(parts)["optimizer"]["param_groups"]}) > 2
    return parts


@pytest.mark.parametrize("kind", [pytest.param("swin", marks=pytest.mark.slow), "dinov3_vit"])
def test_a_training_resumes_and_its_checkpoint_predicts_without_the_source(
    make_config: MakeConfig, tmp_path: Path, kind: str
) -> None:
    source = save_config(tmp_path / "source", kind, **TINY[kind])
    chosen = ["model.backbone.name=transformers", f"model.backbone.source={source}", "model.backbone.drop_path=0.3"]
    few = [
        "model.num_queries=20",
        "optimizer.milestones=[]",
        "optimizer.layer_decay=0.7",
    ]

    def configure(*overrides: str) -> Config:
        return make_config(*RESNET_DEFAULTS, *chosen, *few, *overrides)

    folder = train_and_go_on(configure, source, tmp_path, 2)
    assert not source.exists()
    model, config = open_detector(folder, "cpu")
    assert kind in config.model.backbone.architecture
    assert config_from_text((folder / "config.yaml").read_text(), "").model.backbone.architecture == ""
    found = predict(model, np.zeros((40, 70, 3), np.uint8), short_edge=None)
    assert len(found.scores) <= 20
    last = folder / "checkpoints" / "last.pt"
    # `vclr evaluate --config-file` has settings that name the source alone.
    fill_detector(configure(), read_weights(last), "last.pt", torch.device("cpu"))
    elsewhere = configure(f"model.backbone.source={tmp_path}/elsewhere")
    with pytest.raises(UserError, match="elsewhere: no such folder"):  # another source may be another model
        fill_detector(elsewhere, read_weights(last), "last.pt", torch.device("cpu"))
    says = "model.backbone.name=transformers: weights of other programs can only be exchanged for resnet"
    with pytest.raises(UserError, match=says):
        convert(last, tmp_path / "reference.pth", "reference")
    convert(last, tmp_path / "same.pt")
    with pytest.raises(UsageError, match=r"exported for one size only; give --size HEIGHTxWIDTH"):
        write_export(last, tmp_path / "any.pt2", ExportRequest("torch"))
    with pytest.raises(UserError, match="no such folder"):  # a new training, unlike a checkpoint, needs it
        train(configure(f"train.output_dir={tmp_path}/new"), quiet=True)


@pytest.mark.slow
def test_a_text_that_no_checkpoint_has_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    source = save_config(tmp_path / "source", "dinov2", **TINY["dinov2"])
    chosen = ["model.backbone.name=transformers", f"model.backbone.source={source}", "model.num_queries=20"]
    train(make_config(*RESNET_DEFAULTS, *chosen, f"train.output_dir={tmp_path}/run", "train.max_iter=1"), quiet=True)
    content: dict[str, Any] = checkpoint(tmp_path / "run")
    config = config_from_text(content["config"], "")
    good = config.model.backbone.architecture
    shutil.rmtree(source)
    for other in ("x", "{}", good.replace("dinov2", "bert"), good.replace('"hidden_size": 16', '"hidden_size": 8')):
        content["config"] = dump_config(with_architecture(config, other))
        torch.save(content, tmp_path / "other.pt")
        with pytest.raises(UserError) as error:
            open_detector(tmp_path / "other.pt", "cpu")
        assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["swin", "dinov2"])
def test_two_processes_and_few_images_at_once_are_the_whole_batch(
    make_config: MakeConfig, tmp_path: Path, kind: str
) -> None:
    source = save_config(tmp_path / "source", kind, **TINY[kind])
    chosen = ["model.backbone.name=transformers", f"model.backbone.source={source}", "model.backbone.freeze_at=0"]
    settings = (*SETTINGS, *RESNET_DEFAULTS, *chosen)
    (alone,) = compute(make_config(*settings), tmp_path / "1", 1)
    assert_one_training(alone, compute(make_config(*settings), tmp_path / "2", 2), tolerance=1e-5)
    few = make_config(*settings, "train.micro_batch_size=1")
    assert_one_training(alone, compute(few, tmp_path / "few", 1), tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("kind", "size"), [("swin", SWIN_TINY), ("dinov2", DINOV2_SMALL)])
def test_published_sizes_train_on_photos(
    make_config: MakeConfig, tmp_path: Path, kind: str, size: dict[str, Any], precision: str
) -> None:
    if not PHOTOS.is_dir():
        pytest.skip("needs photos of COCO")
    source = save_config(tmp_path / "source", kind, **size)
    settings = (
        *("model.backbone.name=transformers", f"model.backbone.source={source}", "model.backbone.drop_path=0.1"),
        *("optimizer.layer_decay=0.8", "optimizer.lr=1e-4", "optimizer.milestones=[]"),
        *(f"data.train.annotations={PHOTOS}/annotations_train.json", f"data.train.images={PHOTOS}/images"),
        *("data.train.views={}", "views.weights={natural: 1.0}", "dataloader.train.mapper.short_edge_length=[64]"),
        *("dataloader.train.total_batch_size=1", "model.criterion.num_points=64", "model.num_queries=20"),
        *(f"train.amp.enabled={precision == 'bfloat16'}", "train.amp.dtype=bfloat16"),
    )
    folder = train_and_go_on(lambda *more: make_config(*RESNET_DEFAULTS, *settings, *more), source, tmp_path, 20)
    assert [record["iteration"] for record in records(folder) if record["kind"] == "train"][-1] == 20
    model, _ = open_detector(folder, "cpu")
    assert len(predict(model, np.zeros((70, 90, 3), np.uint8), short_edge=None).scores) <= 20


@pytest.mark.slow
def test_an_exported_program_of_one_size_finds_the_same(make_config: MakeConfig, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    source = save_config(tmp_path / "source", "dinov2", **TINY["dinov2"])
    chosen = ["model.backbone.name=transformers", f"model.backbone.source={source}", "model.num_queries=20"]
    train(make_config(*RESNET_DEFAULTS, *chosen, f"train.output_dir={tmp_path}/run", "train.max_iter=1"), quiet=True)
    request = ExportRequest("onnx", size=(64, 96), batch=1)
    about = write_export(tmp_path / "run" / "checkpoints" / "last.pt", tmp_path / "one.onnx", request, device="cpu")
    assert about.size == (64, 96) and (tmp_path / "one.onnx").is_file()
