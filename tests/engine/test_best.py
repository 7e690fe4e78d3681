"""The best checkpoint and early stopping: the same files, whatever interrupts the training."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.same import assert_same, assert_same_training, checkpoint, records
from vclr.config import Config, dump_config
from vclr.engine import between_steps
from vclr.engine import checkpoint as checkpoint_module
from vclr.engine import train as train_module
from vclr.engine.checkpoint import Checkpoints
from vclr.engine.train import is_finished, train
from vclr.errors import UsageError, UserError
from vclr.files import read_json, write_json
from vclr.models.detector import Detector

MakeConfig = Callable[..., Config]
slow = pytest.mark.slow
# Checkpoints every 3 iterations, so that some evaluations are at a checkpoint and some are not.
SETTINGS = ("train.eval_period=2", "train.best_metric=student/mask_ar@100", "train.max_iter=12", "train.log_period=1")
VALUES = {2: 5.0, 4: 9.0, 6: 7.0, 8: 11.0, 10: 11.0, 12: 10.0}  # by iteration
BEST = 8


@pytest.fixture(autouse=True)
def evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the recall of a student depend on the number of its steps, because six steps find nothing."""

    def evaluate_model(detector: Detector, *_: Any, **__: Any) -> dict[str, float | None]:
        steps = int(detector.state_dict()["mask_branch.mapping.1.num_batches_tracked"])
        return {"mask_ar@100": VALUES.get(steps), "mask_ap": VALUES.get(steps), "box_ar@100": None}

    monkeypatch.setattr(between_steps, "evaluate_model", evaluate_model)


@pytest.fixture(scope="module")
def straight(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("straight") / "seed0"


def run(config: Config, resume: bool = False) -> Path:
    train(config, resume=resume, quiet=True)
    return Path(config.train.output_dir)


@pytest.fixture
def finished(straight: Path, make_config: MakeConfig) -> Path:
    """The training without a stop."""
    return straight if straight.exists() else run(make_config(f"train.output_dir={straight}", *SETTINGS))


def moved_test_set(config: Config, folder: Path) -> list[str]:
    """Return settings of evaluations that change no metric: other paths of the same test set, other batches."""
    raw = shutil.copytree(Path(config.data.test.images).parent, folder / "moved")
    test = f"data.test.annotations={raw}/annotations_val.json", f"data.test.images={raw}/images"
    return [*test, "dataloader.test.batch_size=3"]


def best(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "best.pt", weights_only=True)


def assert_same_best(one: Path, other: Path) -> None:
    for part in ("model", "teacher", "optimizer", "iteration"):
        assert_same(best(one)[part], best(other)[part], part)
    assert read_json(one / "checkpoints/best.json") == read_json(other / "checkpoints/best.json")


def test_best_checkpoint_is_that_of_the_highest_value(finished: Path, make_config: MakeConfig, tmp_path: Path):
    kept = read_json(finished / "checkpoints/best.json")
    assert (kept["metric"], kept["value"], kept["iteration"]) == ("student/mask_ar@100", 11.0, BEST)
    assert best(finished)["iteration"] == BEST
    assert checkpoint(finished)["iteration"] == 12
    without = ("train.max_iter=12", "train.log_period=1", "train.eval_period=0")
    plain = run(make_config(f"train.output_dir={tmp_path}/plain", *without))
    assert_same(checkpoint(finished)["model"], checkpoint(plain)["model"], "keeping the best changes nothing")
    assert sorted(path.name for path in (plain / "checkpoints").iterdir()) == ["last.pt", "step00000009.pt"]


@pytest.mark.parametrize("number", [pytest.param(0, marks=slow), 1, pytest.param(2, marks=slow)])
@pytest.mark.parametrize(
    "place",
    [*(pytest.param(one, marks=slow) for one in ("is_better", "save", "link")), "facts"],
)
def test_an_interruption_anywhere_in_keeping_the_best_changes_nothing(
    place: str, number: int, finished: Path, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A `KeyboardInterrupt` at the n-th evaluation's record, checkpoint, best.pt or best.json acts as a kill does."""
    owner: Any = Checkpoints if place in ("is_better", "save") else checkpoint_module
    name = {"link": "link_file", "facts": "write_json"}.get(place, place)
    function, calls = getattr(owner, name), iter(range(100))

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    config = make_config(f"train.output_dir={tmp_path}/seed0", *SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    folder = run(config, resume=True)
    assert_same_training(finished, folder)
    assert_same_best(finished, folder)


@slow
def test_going_back_to_before_the_best_ends_with_the_same_best(finished: Path, make_config: MakeConfig, tmp_path: Path):
    early = run(make_config(f"train.output_dir={tmp_path}/early", *SETTINGS, "train.max_iter=3"))
    config = make_config(f"train.output_dir={tmp_path}/seed0", *SETTINGS)
    folder = run(make_config(f"train.output_dir={tmp_path}/seed0", *SETTINGS, "train.max_iter=9"))
    for path in (folder / "checkpoints").glob("step*.pt"):
        path.unlink()
    (early / "checkpoints/last.pt").rename(folder / "checkpoints/last.pt")
    run(config, resume=True)
    assert_same_training(finished, folder)
    assert_same_best(finished, folder)


def test_best_checkpoint_replaces_a_damaged_last_one(finished: Path, make_config: MakeConfig, tmp_path: Path, caplog):
    folder = run(make_config(f"train.output_dir={tmp_path}/seed0", *SETTINGS, "train.max_iter=9"))
    for path in (folder / "checkpoints").glob("step*.pt"):
        path.unlink()
    last = folder / "checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    run(make_config(f"train.output_dir={folder}", *SETTINGS), resume=True)
    assert f"continuing from {folder}/checkpoints/best.pt" in caplog.text
    assert_same_training(finished, folder)
    assert_same_best(finished, folder)


def test_another_metric_starts_anew(make_config: MakeConfig, tmp_path: Path):
    settings = (f"train.output_dir={tmp_path}/seed0", *SETTINGS)
    run(make_config(*settings, "train.max_iter=8"))
    folder = run(make_config(*settings, "train.best_metric=student/mask_ap", "train.max_iter=10"), resume=True)
    assert read_json(folder / "checkpoints/best.json")["metric"] == "student/mask_ap"
    (folder / "checkpoints/best.json").write_text("{}")
    with pytest.raises(UserError, match=r"best\.json: .*; remove it"):
        run(make_config(*settings, "train.max_iter=12"), resume=True)


def test_a_worse_checkpoint_is_no_better_for_a_moved_test_set(make_config: MakeConfig, tmp_path: Path):
    settings = (f"train.output_dir={tmp_path}/seed0", *SETTINGS)
    config = make_config(*settings, "train.max_iter=4")
    folder = run(config)
    run(make_config(*settings, "train.max_iter=6", *moved_test_set(config, tmp_path)), resume=True)
    assert best(folder)["iteration"] == read_json(folder / "checkpoints/best.json")["iteration"] == 4
    run(make_config(*settings, "train.max_iter=7", "model.nms_thresh=0.5"), resume=True)
    assert best(folder)["iteration"] == 6  # the values of other evaluations are not compared


def test_a_metric_without_a_value_is_a_warning(make_config: MakeConfig, tmp_path: Path, caplog):
    settings = ("train.best_metric=student/box_ar@100", "train.max_iter=2", "train.early_stopping.patience=1")
    folder = run(make_config(f"train.output_dir={tmp_path}/seed0", *SETTINGS, *settings))
    assert "train.best_metric=student/box_ar@100: iteration 2 has no value of it" in caplog.text
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["last.pt"]


# --- early stopping --------------------------------------------------------------------------------------------------

STOPPING = (*SETTINGS, "train.early_stopping.patience=1")
END = 6  # the first evaluation below the one before


def test_training_that_ended_early_is_finished(make_config: MakeConfig, tmp_path: Path, caplog):
    config = make_config(f"train.output_dir={tmp_path}/seed0", *STOPPING)
    folder = run(config)
    assert f"iteration {END}: training ends early" in (folder / "log.txt").read_text()
    assert (folder / "DONE").read_text() == f"{END}\n"
    assert checkpoint(folder)["iteration"] == END
    assert best(folder)["iteration"] == 4
    assert is_finished(config)
    before = (folder / "checkpoints/last.pt").stat().st_mtime_ns
    run(config, resume=True)
    assert f"finished already: it ended early, at iteration {END} of 12 (train.early_stopping)" in caplog.text
    (folder / "DONE").unlink()
    run(config, resume=True)
    assert (folder / "DONE").read_text() == f"{END}\n"
    assert (folder / "checkpoints/last.pt").stat().st_mtime_ns == before


def test_the_last_steps_before_an_early_end_are_logged(make_config: MakeConfig, tmp_path: Path):
    folder = run(make_config(f"train.output_dir={tmp_path}/seed0", *STOPPING, "train.log_period=5"))
    assert [line["iteration"] for line in records(folder) if line["kind"] == "train"] == [2, 4, 5, END]


@pytest.mark.parametrize("at", [pytest.param(4, marks=slow), 5, pytest.param(6, marks=slow)])
def test_a_stop_before_an_early_end_changes_nothing(
    at: int, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = run(make_config(f"train.output_dir={tmp_path}/whole", *STOPPING))
    config = make_config(f"train.output_dir={tmp_path}/seed0", *STOPPING)
    steps, step = iter(range(1, 100)), train_module.training_step

    def interrupted(*arguments: Any) -> Any:
        if next(steps) == at:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    folder = run(config, resume=True)
    assert_same_training(whole, folder)
    assert_same_best(whole, folder)
    assert (folder / "DONE").read_text() == f"{END}\n"


def test_what_decides_about_the_end_must_stay(make_config: MakeConfig, tmp_path: Path):
    config = make_config(f"train.output_dir={tmp_path}/seed0", *STOPPING)
    folder = run(make_config(f"train.output_dir={tmp_path}/seed0", *STOPPING, "train.max_iter=3"))
    for setting in ("train.eval_period=4", "train.early_stopping.patience=2", "evaluation.max_dets=[100]"):
        with pytest.raises(UsageError, match=f"other settings or data: {setting.partition('=')[0]} is .* there and "):
            run(make_config(f"train.output_dir={folder}", *STOPPING, setting), resume=True)
    run(make_config(f"train.output_dir={folder}", *STOPPING, *moved_test_set(config, tmp_path)), resume=True)
    write_json(folder / "data.json", {**read_json(folder / "data.json"), "test_annotations": "other"})
    with pytest.raises(UsageError, match="other settings or data: other test annotations; "):
        run(config, resume=True)


@slow
def test_two_processes_end_early_together(make_config: MakeConfig, tmp_path: Path):
    """Without a learning rate nothing improves: the second evaluation is the last one."""
    settings = ("train.eval_period=1", "train.best_metric=mask_ar@100", "train.early_stopping.patience=1")
    (tmp_path / "settings.yaml").write_text(dump_config(make_config(*settings, "optimizer.lr=0")))
    command = [sys.executable, "-m", "vclr.cli", "train", "--num-gpus", "2", "--resume", "--quiet"]
    command += ["--config-file", f"{tmp_path}/settings.yaml", f"train.output_dir={tmp_path}/seed0"]
    for said in ("training ends early", "finished already"):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
        assert said in done.stderr
        assert (tmp_path / "seed0/DONE").read_text() == "2\n"
    assert [record["iteration"] for record in records(tmp_path / "seed0") if record["kind"] == "eval"] == [1, 2]
