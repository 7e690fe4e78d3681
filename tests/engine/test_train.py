"""Training: it leaves what it promises, goes on where it stopped, and says why it cannot."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.same import assert_same_training, checkpoint, records
from vclr.config import Config, config_from_text, dump_config, load_config, say_milestones
from vclr.data import samples as samples_module
from vclr.engine import train as train_module
from vclr.engine.nearest_training import nearest_training
from vclr.engine.train import train
from vclr.errors import UsageError, UserError
from vclr.files import read_json, write_json
from vclr.models.build import build_model

MakeConfig = Callable[..., Config]


def run(config: Config, resume: bool = False, unattended: bool = False) -> Path:
    train(config, resume=resume, quiet=True, unattended=unattended)
    return Path(config.train.output_dir)


@pytest.fixture(scope="module")
def straight(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of six steps without a stop."""
    return run(make_config(f"train.output_dir={tmp_path_factory.mktemp('straight')}/seed0"))


def test_folder_holds_what_is_promised(straight: Path, make_config: MakeConfig):
    assert (straight / "DONE").read_text() == "6\n"
    assert {path.name for path in (straight / "checkpoints").iterdir()} == {"last.pt", "step00000003.pt"}
    assert load_config(straight / "config.yaml") == make_config(f"train.output_dir={straight}")
    log = (straight / "log.txt").read_text()
    assert "iteration 6/6" in log
    assert log.count(say_milestones(make_config())) == 1
    assert set(read_json(straight / "data.json")) >= {"annotations", "images", "view_depth", "view_style"}
    assert "torch" in json.dumps(read_json(straight / "environment.json"))


def test_checkpoint_has_the_keys_of_the_contract(straight: Path):
    content = checkpoint(straight)
    assert set(content) >= {"model", "teacher", "optimizer", "scheduler", "loader", "rng", "iteration", "config"}
    assert content["iteration"] == 6
    assert content["model"].keys() == content["teacher"].keys()
    assert config_from_text(content["config"], "checkpoint") == load_config(straight / "config.yaml")


def test_metrics_have_every_loss_of_every_step(straight: Path):
    logged = records(straight)
    assert [record["iteration"] for record in logged] == [1, 2, 3, 4, 5, 6]
    kinds = ("loss_class", "loss_bbox", "loss_giou", "loss_mask", "loss_dice")
    expected = {kind + suffix for kind in kinds for suffix in ("", "_0", "_enc")} | {"loss_consistency"}
    for record in logged:
        losses = {key: value for key, value in record.items() if key.startswith("loss_")}
        assert set(losses) == expected
        assert all(map(math.isfinite, losses.values()))
        assert record["loss"] == pytest.approx(sum(losses.values()), rel=1e-5)
        assert record["lr"] == pytest.approx(1e-3)


def test_student_and_teacher_moved_and_differ(straight: Path, make_config: MakeConfig):
    start, end = build_model(make_config()).state_dict(), checkpoint(straight)
    key = "decoder.layers.0.feed_forward.expand.weight"
    moved, followed = (end["model"][key] - start[key]).norm(), (end["teacher"][key] - start[key]).norm()
    assert moved > 0
    assert 0 < followed < 0.05 * moved


def test_same_seed_same_training_other_seed_another(straight: Path, make_config: MakeConfig, tmp_path: Path):
    assert_same_training(straight, run(make_config(f"train.output_dir={tmp_path}/again")))
    other = run(make_config(f"train.output_dir={tmp_path}/other", "train.seed=1", "train.max_iter=1"))
    assert records(other)[0] != records(straight)[0]


@pytest.mark.parametrize("log_period", [1, 2])
def test_stopped_and_resumed_is_the_same_as_straight(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_period: int
):
    """It stops in step six; the checkpoint is of step three, in the middle of a log period of two."""
    straight = run(make_config(f"train.output_dir={tmp_path}/straight", f"train.log_period={log_period}"))
    config = make_config(f"train.output_dir={tmp_path}/seed0", f"train.log_period={log_period}")
    steps, step = iter(range(5)), train_module.training_step

    def step_until_killed(*arguments: Any) -> dict[str, float]:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(train_module, "training_step", step_until_killed)
    with pytest.raises(KeyboardInterrupt):
        run(config)
    folder = tmp_path / "seed0"
    assert not (folder / "DONE").exists()
    assert checkpoint(folder)["iteration"] == 3
    assert records(folder)[-1]["iteration"] > 3
    with (folder / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"kind": "train", "itera')  # the line being written
    monkeypatch.undo()
    assert_same_training(straight, run(config, resume=True))


def test_longer_training_goes_on(straight: Path, make_config: MakeConfig, tmp_path: Path):
    config = make_config(f"train.output_dir={tmp_path}/seed0", "train.max_iter=3")
    run(config)
    assert (tmp_path / "seed0" / "DONE").read_text() == "3\n"
    config.train.max_iter = 6
    assert_same_training(straight, run(config, resume=True))
    assert (tmp_path / "seed0" / "DONE").read_text() == "6\n"


@pytest.mark.parametrize("steps", [2, 3])
def test_a_longer_training_goes_on_until_a_milestone_that_moves_with_it(
    make_config: MakeConfig, tmp_path: Path, steps: int
):
    """At 3 of 4 iterations, the first schedule would take the next one at the lower rate, the longer one does not."""
    share = "optimizer.milestones=[0.75]"
    straight = run(make_config(f"train.output_dir={tmp_path}/straight/seed0", share, "train.max_iter=8"))
    assert [record["lr"] for record in records(straight)] == pytest.approx([1e-3] * 6 + [1e-4] * 2)
    folder = run(make_config(f"train.output_dir={tmp_path}/seed0", share, f"train.max_iter={steps}"))
    stored = checkpoint(folder)
    stored["config"] = dump_config(make_config(f"train.output_dir={folder}", share, "train.max_iter=4"))
    for group in stored["optimizer"]["param_groups"]:
        group["lr"] = 1e-4 if steps == 3 else 1e-3
    stored["scheduler"]["_last_lr"] = [group["lr"] for group in stored["optimizer"]["param_groups"]]
    torch.save(stored, folder / "checkpoints" / "last.pt")
    assert_same_training(
        straight, run(make_config(f"train.output_dir={folder}", share, "train.max_iter=8"), resume=True)
    )


def test_a_milestone_that_is_passed_does_not_move(make_config: MakeConfig, tmp_path: Path):
    given = f"train.output_dir={tmp_path}/seed0", "optimizer.milestones=[0.5]"
    folder = run(make_config(*given, "train.max_iter=4"))
    says = r"milestones is \[2\] there and \[4\] here \(another .* done; set optimizer\.milestones=\[2\] to go on\)"
    for unattended in (False, True):  # a job does not move the finished training aside either
        with pytest.raises(UsageError, match=says):
            run(make_config(*given, "train.max_iter=8"), resume=True, unattended=unattended)
    assert [path.name for path in tmp_path.iterdir()] == ["seed0"]
    run(make_config(given[0], "optimizer.milestones=[2]", "train.max_iter=6"), resume=True)
    assert [record["lr"] for record in records(folder)] == pytest.approx([1e-3] * 2 + [1e-4] * 4)


def test_resume_starts_where_there_is_nothing(make_config: MakeConfig, tmp_path: Path):
    folder = run(make_config(f"train.output_dir={tmp_path}/new", "train.max_iter=1"), resume=True)
    assert (folder / "DONE").read_text() == "1\n"


@pytest.fixture
def finished(straight: Path, tmp_path: Path) -> Path:
    shutil.copytree(straight, tmp_path / "seed0")
    return tmp_path / "seed0"


def test_finished_training_is_left_alone(finished: Path, make_config: MakeConfig):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    run(make_config(f"train.output_dir={finished}"), resume=True)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()} == before


def test_existing_training_is_not_overwritten(finished: Path, make_config: MakeConfig):
    with pytest.raises(UsageError, match=f"train.output_dir={finished}: holds a training; resume=True continues it"):
        run(make_config(f"train.output_dir={finished}"))


@pytest.mark.parametrize("override", ["optimizer.lr=2e-3", "views.weights.natural=1", "train.max_iter=2"])
def test_training_of_other_settings_is_moved_aside_by_a_job(finished: Path, make_config: MakeConfig, override: str):
    run(make_config(f"train.output_dir={finished}", "train.max_iter=1", override), resume=True, unattended=True)
    aside = [path for path in finished.parent.iterdir() if path.name.startswith("seed0.")]
    assert len(aside) == 1
    assert (aside[0] / "DONE").read_text() == "6\n"
    assert len(records(finished)) <= 2


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["optimizer.lr=2e-3"], r"optimizer\.lr is 0\.001 there and 0\.002 here"),
        (["views.weights.natural=1"], r"views\.weights\.natural is None there and 1\.0 here"),
        (["train.max_iter=2"], r"train\.max_iter=2 is before iteration 6 there"),
        (["train.seed=1", "optimizer.gamma=0.5"], r"optimizer\.gamma is .* here, train\.seed is 0 there and 1 here"),
    ],
)
def test_training_of_other_settings_is_named_and_left(
    finished: Path, make_config: MakeConfig, overrides: list[str], says: str
):
    before = {path: path.read_bytes() for path in finished.parent.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=f"^train.output_dir={finished}: holds a training with other .*{says}"):
        run(make_config(f"train.output_dir={finished}", *overrides), resume=True)
    assert {path: path.read_bytes() for path in finished.parent.rglob("*") if path.is_file()} == before


def test_training_on_other_data_is_moved_aside_by_a_job_and_else_named(finished: Path, make_config: MakeConfig):
    hashes = read_json(finished / "data.json")
    write_json(finished / "data.json", {**hashes, "annotations": "other", "view_style": "other"})
    config = make_config(f"train.output_dir={finished}", "train.max_iter=6")
    with pytest.raises(UsageError, match="other settings or data: other annotations, other view style; resume it"):
        run(config, resume=True)
    run(config, resume=True, unattended=True)
    assert len([path for path in finished.parent.iterdir() if path.name.startswith("seed0.")]) == 1


def test_data_that_an_earlier_version_did_not_hash_is_not_missed(finished: Path, make_config: MakeConfig):
    hashes = read_json(finished / "data.json")
    del hashes["view_style"]
    write_json(finished / "data.json", hashes)
    (finished / "DONE").unlink()
    run(make_config(f"train.output_dir={finished}"), resume=True)
    assert "view_style" in read_json(finished / "data.json")


# --- a mistyped folder -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed", ["runs/voc/sede0", "runs/vocs/seed0", "run/voc/seed0", "runs/voc", "runs/voc/seed0/checkpoints"]
)
def test_resume_in_a_mistyped_folder_names_the_right_one(
    straight: Path, make_config: MakeConfig, tmp_path: Path, typed: str
):
    right = tmp_path / "runs/voc/seed0"
    shutil.copytree(straight, right)
    before = sorted(tmp_path.rglob("*"))
    says = f"^train.output_dir={tmp_path / typed}: holds no training for resume=True; nearest: {right}, which"
    with pytest.raises(UsageError, match=says):
        run(make_config(f"train.output_dir={tmp_path / typed}"), resume=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert nearest_training(make_config(f"train.output_dir={tmp_path / typed}", "optimizer.lr=2e-3")) is None


@pytest.mark.parametrize("own", ["runs/voc/seed1", "runs/other/seed0", "elsewhere"])
def test_names_that_only_look_alike_are_other_trainings(
    straight: Path, make_config: MakeConfig, tmp_path: Path, own: str
):
    shutil.copytree(straight, tmp_path / "runs/voc/seed0")
    assert nearest_training(make_config(f"train.output_dir={tmp_path / own}")) is None


def test_job_begins_beside_a_training_of_nearly_the_same_name(straight: Path, make_config: MakeConfig, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "voc")
    run(make_config(f"train.output_dir={tmp_path}/vocs", "train.max_iter=1"), resume=True, unattended=True)
    assert (tmp_path / "vocs" / "DONE").exists()


def test_settings_without_effect_go_on(finished: Path, make_config: MakeConfig):
    settings = ["train.log_period=7", "dataloader.train.num_workers=1", "evaluation.protocol=known"]
    run(make_config(f"train.output_dir={finished}", *settings), resume=True)
    assert [path.name for path in finished.parent.iterdir()] == ["seed0"]


@pytest.mark.parametrize("loss", ["loss_dice", "loss_consistency"])
def test_loss_that_is_not_finite_stops_and_is_named(make_config: MakeConfig, tmp_path: Path, loss: str):
    config = make_config(f"train.output_dir={tmp_path}/run", f"model.criterion.weight_dict.{loss}=1e39")
    with pytest.raises(FloatingPointError, match=rf"iteration 0: .*{loss}.* not finite on images \d+, \d+"):
        run(config)
    assert not (tmp_path / "run" / "DONE").exists()
    assert not (tmp_path / "run" / "checkpoints" / "last.pt").exists()
    assert loss in (tmp_path / "run" / "log.txt").read_text()


def test_without_consistency_there_is_no_such_loss(make_config: MakeConfig, tmp_path: Path):
    without = "model.criterion.weight_dict.loss_consistency=0"
    config = make_config(f"train.output_dir={tmp_path}/run", without, "train.max_iter=1")
    assert "loss_consistency" not in records(run(config))[0]


def test_without_a_teacher(make_config: MakeConfig, tmp_path: Path):
    settings = ["model.criterion.weight_dict.loss_consistency=0", "train.model_ema.enabled=False", "train.max_iter=1"]
    assert checkpoint(run(make_config(f"train.output_dir={tmp_path}/run", *settings)))["teacher"] is None


def test_starting_from_weights(straight: Path, make_config: MakeConfig, tmp_path: Path):
    """Without a learning rate, weights that are started from stay, in student and teacher."""
    weights = straight / "checkpoints" / "last.pt"
    config = make_config(
        f"train.output_dir={tmp_path}/run", f"train.init_checkpoint={weights}", "optimizer.lr=0", "train.max_iter=1"
    )
    start, end = checkpoint(straight)["model"], checkpoint(run(config))
    for part in ("model", "teacher"):
        torch.testing.assert_close(end[part]["query_content.weight"], start["query_content.weight"])


def test_weights_that_are_none_are_one_line(make_config: MakeConfig, tmp_path: Path):
    config = make_config(f"train.output_dir={tmp_path}/run", f"train.init_checkpoint={tmp_path}/absent.pt")
    with pytest.raises(UserError, match=r"absent\.pt: no such checkpoint"):
        run(config)
    assert not (tmp_path / "run").exists()


def test_evaluation_on_the_way_is_logged_and_changes_nothing(straight: Path, make_config: MakeConfig, tmp_path: Path):
    folder = run(make_config(f"train.output_dir={tmp_path}/run", "train.eval_period=3"))
    evaluated = [record for record in records(folder) if record["kind"] == "eval"]
    assert [record["iteration"] for record in evaluated] == [3, 6]
    assert {"student/mask_ar@100", "teacher/mask_ar@100"} < evaluated[0].keys()
    assert [record for record in records(folder) if record["kind"] == "train"] == records(straight)


def test_evaluation_on_the_way_opens_the_test_set_once(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened, open_samples = [], samples_module.TestSamples.__init__

    def count(samples: samples_module.TestSamples, config: Config) -> None:
        opened.append(samples)
        open_samples(samples, config)

    monkeypatch.setattr(samples_module.TestSamples, "__init__", count)
    run(make_config(f"train.output_dir={tmp_path}/run", "train.eval_period=1", "train.max_iter=1"))
    assert len(opened) == 1, "for both detectors"


def test_bfloat16_training_is_finite(make_config: MakeConfig, tmp_path: Path):
    folder = run(make_config(f"train.output_dir={tmp_path}/run", "train.amp.enabled=True", "train.max_iter=2"))
    assert all(math.isfinite(record["loss"]) for record in records(folder))
