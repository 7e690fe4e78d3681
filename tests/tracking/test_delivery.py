"""A store has what a run folder holds: everything, once, whatever went wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.servers.proxy import Proxy
from tests.tracking.folders import (
    HASHES,
    INPUTS,
    assert_delivered,
    begin,
    deliver,
    describe,
    end,
    parent_of,
    record,
    stored_points,
    stored_run,
    stored_runs,
)
from vclr.cli.tracking import sync
from vclr.config import Config, load_config
from vclr.errors import UserError
from vclr.tracking import run_files
from vclr.tracking import sync as sync_module
from vclr.tracking.delivery import Delivery, only_delivery
from vclr.tracking.points import NewRecords
from vclr.tracking.run_files import RunFiles
from vclr.tracking.sync import Deliveries, store_of_run

pytestmark = pytest.mark.timeout(120)


def test_everything_reads_back(config: Config, run_dir: Path, tmp_path: Path):
    config.optimizer.lr = 0.5
    files = begin(config, run_dir)
    record(run_dir, range(10, 40, 10), grad_norm=float("nan"))
    with (run_dir / "metrics.jsonl").open("a") as file:
        metrics = {"mask_ar@100": 20.0, "box_ar@7": 1.0, "teacher/box_ap": 3.0}
        file.write(json.dumps({"kind": "eval", "iteration": 30, "time": 5.0, **metrics}) + "\n")
    files.code.write_text("diff\n")
    end(files)
    done = deliver(config, run_dir)
    assert (done.status, done.problems) == ("FINISHED", [])

    run, client = stored_run(config), MlflowClient(config.tracking.uri)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "demo/seed0")
    assert run.data.params["optimizer.lr"] == "0.5"
    assert not run.data.params.keys() & {"train.seed", "train.output_dir", "tracking.uri", "model.num_queries"}
    assert run.data.tags["data.images"] == HASHES["images"]
    assert (run.data.tags["experiment"], run.data.tags["seed"], run.data.tags["gpus"]) == ("demo", "0", "H200")
    assert run.data.metrics.keys() >= {"train/loss", "train/loss_class", "train/lr", "train/grad_norm"}
    assert run.data.metrics["eval_student/mask_ar_100"] == 20.0
    assert not run.data.metrics.keys() & {"layers/loss_class_0", "eval_student/box_ar_7"}
    (point, *_) = client.get_metric_history(run.info.run_id, "train/loss")
    assert (point.step, point.value, point.timestamp) == (10, 0.0, 1_000_000_010_000)
    inputs = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert inputs == {f"{name} {name}.json": digest[:32] for name, digest in HASHES.items()}
    stored = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert stored == {"config.yaml", "environment.json", "code.diff"}
    assert load_config(client.download_artifacts(run.info.run_id, "config.yaml", str(tmp_path))) == config
    assert run.data.tags["mlflow.parentRunId"] == parent_of(config).info.run_id


def test_a_second_delivery_changes_nothing(config: Config, run_dir: Path):
    files = begin(config, run_dir)
    record(run_dir, range(1, 30))
    end(files)
    assert deliver(config, run_dir).points > 0
    before = stored_run(config).to_dictionary()
    again = deliver(config, run_dir)
    assert (again.points, again.files) == (0, 0)
    assert stored_run(config).to_dictionary() == before
    assert_delivered(config, run_dir)


def test_points_are_delivered_as_they_come_and_only_whole_lines(config: Config, run_dir: Path):
    begin(config, run_dir)
    delivery = Delivery(run_dir, config.tracking.uri)
    for start in range(0, 12, 3):
        record(run_dir, range(start, start + 3))
        delivery.deliver()
        assert_delivered(config, run_dir)
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "iteration": 12, "time": 1.0, "lo')
        file.flush()
        assert delivery.deliver().points == 0
        file.write('ss": 1.5}\n')
    assert delivery.deliver().points == 1
    assert_delivered(config, run_dir)


def test_an_answer_that_is_lost_doubles_nothing(config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    """The store has written a part, or everything, and then the connection breaks."""
    begin(config, run_dir)
    record(run_dir, range(400))  # several batches
    whole, calls = MlflowClient.log_batch, []

    def break_sometimes(self: MlflowClient, *args: Any, **options: Any) -> None:
        whole(self, *args, **options)
        calls.append(1)
        if len(calls) % 2:
            raise ConnectionError("the answer was lost")

    monkeypatch.setattr(MlflowClient, "log_batch", break_sometimes)
    delivery = Delivery(run_dir, config.tracking.uri)
    for _ in range(50):
        try:
            delivery.deliver()
            break
        except ConnectionError:
            continue
    assert len(calls) > 4
    assert_delivered(config, run_dir)


def test_a_copy_of_the_folder_continues_the_same_run(config: Config, run_dir: Path, tmp_path: Path):
    begin(config, run_dir)
    record(run_dir, range(5))
    deliver(config, run_dir)
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    (copy / "mlflow_run.json").unlink()
    record(copy, range(5, 9))
    deliver(config, copy)
    assert_delivered(config, copy)


def test_a_folder_of_somebody_else_can_be_delivered(config: Config, run_dir: Path):
    files = begin(config, run_dir)
    record(run_dir, range(5))
    end(files)
    for path in (files.folder / ".lock", run_dir / "mlflow_run.json"):
        path.mkdir()  # neither can be written then, be it by root
    deliver(config, run_dir)
    with only_delivery(run_dir, 0):
        assert_delivered(config, run_dir)


def test_deliveries_at_once_make_one_run(config: Config, run_dir: Path):
    begin(config, run_dir)
    record(run_dir, range(100))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: deliver(config, run_dir), range(4)))
    assert_delivered(config, run_dir)
    assert parent_of(config).info.run_name == "demo"


def test_changed_settings_become_tags_with_their_attempt(config: Config, run_dir: Path):
    files = begin(config, run_dir)
    deliver(config, run_dir)
    end(files, "KILLED")
    for lr in (0.5, 1e-4):
        config.optimizer.lr = lr
        files = begin(config, run_dir)
        deliver(config, run_dir)
    run = stored_run(config)
    assert "optimizer.lr" not in run.data.params
    assert run.data.tags["changed.optimizer.lr"] == "0.5 (attempt 2); default (attempt 3)"
    assert run.data.tags["attempts"] == "3"


def test_jobs_are_named(config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    for job in ("17", "18", "18"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        begin(config, run_dir)
    deliver(config, run_dir)
    assert stored_run(config).data.tags["slurm.jobs"] == "17 18"


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_an_end_is_shown_and_a_resume_shows_it_running_again(config: Config, run_dir: Path, status: str):
    files = begin(config, run_dir)
    deliver(config, run_dir)
    assert stored_run(config).info.status == "RUNNING"
    end(files, status)
    deliver(config, run_dir)
    run = stored_run(config)
    assert run.info.status == status
    assert abs(run.info.end_time / 1000 - time.time()) < 60
    assert parent_of(config).info.status == status
    begin(config, run_dir)
    deliver(config, run_dir)
    assert stored_run(config).info.status == parent_of(config).info.status == "RUNNING"


def begin_elsewhere(config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> RunFiles:
    with monkeypatch.context() as patch:
        patch.setattr(run_files, "_name_machine", lambda: "another machine")
        return begin(config, run_dir)


def test_a_lost_machine_is_noticed_by_its_silence(config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    files = begin_elsewhere(config, run_dir, monkeypatch)
    deliver(config, run_dir)
    assert stored_run(config).info.status == "RUNNING"
    long_ago = time.time() - 1000
    monkeypatch.setattr(time, "time", lambda: long_ago)
    files.beat()
    monkeypatch.undo()
    MlflowClient(config.tracking.uri).set_tag(stored_run(config).info.run_id, "vclr.heartbeat", f"{long_ago:.0f}")
    deliver(config, run_dir)
    run = stored_run(config)
    assert run.info.status == "KILLED"
    assert abs(run.info.end_time / 1000 - long_ago) < 2


def test_an_old_copy_does_not_end_a_run_that_goes_on(
    config: Config, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    begin_elsewhere(config, run_dir, monkeypatch)
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    deliver(config, run_dir)  # the original is alive, says the store
    (copy / "tracking/alive.json").write_text('{"time": 1.0}')
    deliver(config, copy)
    assert stored_run(config).info.status == "RUNNING"


def test_a_killed_process_is_noticed_at_once(config: Config, run_dir: Path):
    script = (
        "import os, sys; from pathlib import Path; from vclr.tracking.run_files import RunFiles\n"
        "files = RunFiles(Path(sys.argv[1])); files.begin_run(); files.begin_attempt({}); os.kill(os.getpid(), 9)"
    )
    begin(config, run_dir)
    subprocess.run([sys.executable, "-c", script, str(run_dir)], env=os.environ, timeout=60, check=False)
    deliver(config, run_dir)
    assert stored_run(config).info.status == "KILLED"


def test_a_run_that_was_deleted_in_the_store_begins_anew(config: Config, run_dir: Path):
    begin(config, run_dir)
    record(run_dir, range(5))
    deliver(config, run_dir)
    MlflowClient(config.tracking.uri).delete_run(stored_run(config).info.run_id)
    deliver(config, run_dir)
    assert_delivered(config, run_dir)
    assert len(stored_runs(config, deleted=True)) == 2


def test_long_values_are_cut_not_refused(config: Config, run_dir: Path):
    config.evaluation.groups = {"novel": ["a class with a long name"] * 1000}
    begin(config, run_dir)
    deliver(config, run_dir)
    assert len(stored_run(config).data.params["evaluation.groups.novel"]) == 6000


def test_layers_are_tracked_on_request(config: Config, run_dir: Path):
    config.tracking = replace(config.tracking, all_layers=True)
    begin(config, run_dir)
    record(run_dir, [1], loss_dice_enc=1.0)
    deliver(config, run_dir)
    assert stored_run(config).data.metrics.keys() >= {"layers/loss_class_0", "layers/loss_dice_enc", "train/loss_class"}


def test_files_that_cannot_be_stored_hold_up_no_curve(config: Config, run_dir: Path, tmp_path: Path):
    begin(config, run_dir)
    record(run_dir, range(5))
    (tmp_path / "mlartifacts").write_text("in the way")
    (problem,) = deliver(config, run_dir).problems
    assert problem.startswith("config.yaml: ")
    assert_delivered(config, run_dir)
    (tmp_path / "mlartifacts").unlink()
    assert deliver(config, run_dir).files == 2


def test_a_folder_without_a_run_is_refused(config: Config, tmp_path: Path):
    with pytest.raises(UserError, match=r"is not a run folder \(it has no config.yaml\)"):
        deliver(config, tmp_path)


@pytest.mark.parametrize("name", ["it's mine", 'say "it"', "mine/seed10", "ümlaut 漢"])
def test_any_name_of_an_experiment_will_do(config: Config, run_dir: Path, name: str):
    folder = run_dir.parents[1] / name  # in a folder `runs`
    begin(config, folder, seed=3)
    for _ in range(2):
        deliver(config, folder)
    assert parent_of(config).info.run_name == name.removesuffix("/seed10")


def test_a_damaged_identity_costs_nothing_else(config: Config, run_dir: Path):
    files = begin(config, run_dir)
    record(run_dir, range(3))
    files.results.mkdir()
    (run_dir / "tracking/run.json").write_text("{")
    deliver(config, run_dir)
    assert files.identity() and files.results.is_dir() and len(files.attempts()) == 1
    assert_delivered(config, run_dir)


def test_a_new_start_shows_its_experiment_running(config: Config, run_dir: Path):
    end(begin(config, run_dir, seed=0))
    deliver(config, run_dir)
    assert parent_of(config).info.status == "FINISHED"
    begin(config, run_dir.with_name("seed1"), seed=1)
    deliver(config, run_dir.with_name("seed1"))
    assert parent_of(config).info.status == "RUNNING"


def test_the_end_of_an_attempt_is_what_the_training_says(config: Config, run_dir: Path):
    """Whoever sees a training end later than the next attempt begins ends only the attempt that it saw."""
    files = begin(config, run_dir)
    begin(config, run_dir)
    files.end_attempt(1, "KILLED", is_known=False)
    assert [attempt.status for attempt in files.attempts()] == ["KILLED", "RUNNING"]
    files.end_attempt(2, "KILLED", is_known=False)
    files.end_attempt(2, "FINISHED")
    files.end_attempt(2, "KILLED", is_known=False)
    assert files.attempts()[-1].status == "FINISHED"


def test_hundreds_of_pictures_are_stored_once_each(config: Config, run_dir: Path):
    files = begin(config, run_dir)
    for number in range(300):
        folder = files.pictures / f"{number:08d}"
        folder.mkdir(parents=True)
        (folder / "examples.png").write_bytes(b"%d" % number)
    delivery = Delivery(run_dir, config.tracking.uri)
    assert (delivery.deliver().files, delivery.deliver().files) == (302, 0)
    again = deliver(config, run_dir)
    assert again.files == 0 and not again.problems
    assert len(stored_run(config).data.tags["vclr.files"]) <= 8000


def test_another_store_for_a_try_does_not_become_that_of_the_run(config: Config, run_dir: Path, tmp_path: Path):
    begin(config, run_dir)
    Deliveries().deliver(run_dir)
    Deliveries(f"sqlite:///{tmp_path}/other.db").deliver(run_dir)
    assert store_of_run(run_dir) == config.tracking.uri


def test_a_run_that_a_new_training_replaced_does_not_stay_running(config: Config, run_dir: Path):
    """The machine of the first one was lost before its first checkpoint."""
    begin(config, run_dir)
    deliver(config, run_dir)
    former = stored_run(config)
    assert former.info.status == "RUNNING"
    files = RunFiles(run_dir)
    files.begin_run("training", INPUTS)
    files.begin_attempt({})
    files.begin_run("training", INPUTS)  # once more, and nothing of the second one was delivered
    files.begin_attempt({})
    deliver(config, run_dir)
    statuses = {run.info.run_id == former.info.run_id: run.info.status for run in stored_runs(config)}
    assert statuses == {True: "KILLED", False: "RUNNING"}


def test_a_delivery_goes_on_with_the_folder_s_new_training(config: Config, run_dir: Path):
    begin(config, run_dir)
    record(run_dir, [1, 2])
    delivery = Delivery(run_dir, config.tracking.uri)
    first = delivery.deliver()
    (run_dir / "metrics.jsonl").unlink()
    files = RunFiles(run_dir)
    files.begin_run("another", INPUTS)
    files.begin_attempt({})
    record(run_dir, [1, 2, 3])
    second = delivery.deliver()
    assert second.run_id != first.run_id
    newest = next(run for run in stored_runs(config) if run.info.run_id == second.run_id)
    assert_delivered(config, run_dir, newest)


def test_no_record_is_passed_over_if_a_resume_rewrites_the_file(run_dir: Path):
    metrics = run_dir / "metrics.jsonl"
    record(run_dir, range(1, 4), note=1.25)
    new = NewRecords(metrics)
    assert len(new.read()) == 3
    shorter = metrics.with_name("shorter")
    shorter.write_text("".join(metrics.read_text().splitlines(keepends=True)[:2]))
    shorter.replace(metrics)
    record(run_dir, range(4, 7))
    assert [one["iteration"] for one in new.read()] == [1, 2, 4, 5, 6]


def test_what_a_run_folder_lacks_is_one_line(run_dir: Path):
    (run_dir / "mlflow_run.json").write_text("[]")
    with pytest.raises(UserError, match=f"^{run_dir}: [^\n]*$"):
        Deliveries().deliver(run_dir)
    (run_dir / "mlflow_run.json").write_text("{}")
    with pytest.raises(UserError, match=f"^{run_dir}: is not a run folder"):
        Deliveries().deliver(run_dir)


def test_a_delivery_by_a_command_waits_for_another_one_if_the_training_is_over(
    config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    end(begin(config, run_dir))
    monkeypatch.setattr(sync_module, "LONG_LOCK_PATIENCE", 0.1)
    with only_delivery(run_dir, 1):
        Deliveries().deliver_or_warn(run_dir)
    assert "another process is delivering it" in caplog.text
    assert "deliver it later with" in caplog.text
    caplog.clear()
    begin(config, run_dir)
    monkeypatch.setattr(sync_module, "LOCK_PATIENCE", 0.1)
    with only_delivery(run_dir, 1):
        Deliveries().deliver_or_warn(run_dir)
    assert not caplog.text, "its training delivers it"


def test_evaluations_after_a_resume_with_another_period_are_all_there(config: Config, run_dir: Path):
    """MLflow deletes no point, so the evaluation that the resume took back stays."""
    metrics = run_dir / "metrics.jsonl"
    evaluation = '{{"kind": "eval", "iteration": {0}, "time": {0}, "student/mask_ar@100": {0}}}\n'
    begin(config, run_dir)
    metrics.write_text(evaluation.format(9))
    deliver(config, run_dir)
    begin(config, run_dir)
    metrics.write_text(evaluation.format(8) + evaluation.format(16))
    assert deliver(config, run_dir).points == 2
    assert deliver(config, run_dir).points == 0
    ((_, points),) = stored_points(config, stored_run(config)).items()
    assert [point[0] for point in points] == [8, 9, 16]


def test_damaged_files_cost_little(config: Config, run_dir: Path):
    begin(config, run_dir)
    record(run_dir, [1, 2])
    first = deliver(config, run_dir)
    (run_dir / "tracking/run.json").write_text('{"id": ')
    (run_dir / "environment.json").unlink()
    (run_dir / "data.json").write_text("[")
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "iteration": 3, "time": "abc", "loss": 1.5, "huge": 1' + 400 * "0" + "}\n")
        file.write("\0\0\n[]\n")
    with (run_dir / "tracking/attempts.jsonl").open("a") as file:
        odd = {"started": "x", "settings": [], "job": None, "process": 5, "user": 3, "store": 7}
        file.write(json.dumps({"event": "start", "attempt": 2, **odd}) + "\n")
    again = deliver(config, run_dir)
    assert again.run_id == first.run_id, "the store knows which run it is"
    assert again.points == 1 and not again.problems
    assert again.notes == ["metrics.jsonl: left out, because damaged: 2 lines"]
    assert len(stored_runs(config)) == 1


def test_a_store_whose_folder_is_gone_is_not_made_anew(config: Config, run_dir: Path, tmp_path: Path):
    begin(config, run_dir)
    with pytest.raises(UserError, match=f"the folder {tmp_path}/mounted does not exist"):
        Deliveries(f"sqlite:///{tmp_path}/mounted/mlflow.db").deliver(run_dir)
    assert not (tmp_path / "mounted").exists()


def test_pictures_of_iterations_are_stored_once_however_many(config: Config, run_dir: Path):
    files = begin(config, run_dir)
    for iteration in range(1, 4):
        for name in ("views.png", "examples.png"):
            path = files.pictures / f"{iteration:08d}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % iteration)
            assert deliver(config, run_dir).files == (3 if name == "views.png" and iteration == 1 else 1)
    assert deliver(config, run_dir).files == 0
    assert "00000001" not in stored_run(config).data.tags["vclr.files"]


def test_a_store_that_refuses_is_asked_once_for_all_folders(
    config: Config, run_dir: Path, capsys: pytest.CaptureFixture[str]
):
    with Proxy("http://127.0.0.1:1") as store:
        store.token = "another"  # so it answers 401
        config.tracking.uri = store.uri
        folders = [run_dir.with_name(f"seed{seed}") for seed in range(3)]
        for seed, folder in enumerate(folders):
            begin(config, folder, seed)
        with pytest.raises(UserError, match="3 folders are not delivered whole"):
            sync(folders)
        said = capsys.readouterr().out.splitlines()
        assert [line.partition(": ")[0] for line in said] == [*map(str, folders)]
        assert all(store.uri in line and "401" in line for line in said)
        assert store.seen["expired"] == 1


def test_the_store_of_a_training_is_that_of_its_start(config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    """Not what the environment says where somebody delivers its folder."""
    store, config.tracking.uri = config.tracking.uri, ""
    describe(config, run_dir)
    files = RunFiles(run_dir)
    files.name_run()
    files.begin_attempt({}, store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store_of_run(run_dir) == store


def test_a_changed_mlflow_experiment_does_not_begin_a_run(config: Config, run_dir: Path):
    begin(config, run_dir)
    deliver(config, run_dir)
    before, config.tracking.experiment = config.tracking.experiment, "another"
    begin(config, run_dir)
    deliver(config, run_dir)
    config.tracking.experiment = before
    assert stored_run(config).data.tags["attempts"] == "2"
