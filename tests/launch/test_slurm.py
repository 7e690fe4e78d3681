"""Trainings on a real SLURM cluster, disturbed in every way that clusters know."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.engine.same import assert_same_training
from tests.launch.conftest import ROOT, SETTINGS, Launch, MakeConfig, wait_for
from vclr.launch.cluster import ask, job_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("cluster")]
NODES = ("launcher.backend=slurm", "launcher.nodes=2", "launcher.tasks_per_node=2", "launcher.cpus_per_task=2")
SMALL_DISK = os.environ.get("VCLR_SMALL_DISK", "")
MakeLaunch = Callable[..., Launch]


@pytest.fixture(scope="module")
def straight(cluster: None, make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """A training on 2 nodes x 2 processes that nobody disturbs."""
    folder = tmp_path_factory.mktemp("straight")
    launch = Launch(make_config(*SETTINGS, *NODES), folder / "runs" / "demo" / "seed0")
    launch.run()
    return launch


@pytest.fixture
def disturbed(make_launch: MakeLaunch) -> Launch:
    return make_launch(*NODES)


def job_id(launch: Launch) -> str:
    """Return the id of its newest job."""
    return json.loads((launch.jobs[-1] / "job.json").read_text())["job_id"]


def all_jobs(launch: Launch) -> list[str]:
    """List id and state of all jobs that were ever submitted for a training, oldest first."""
    lines = ask("squeue", "--noheader", "--states=all", "--sort=i", "--format=%A %T %k").splitlines()
    return [line.rpartition(" ")[0] for line in lines if str(launch.root) in line]


def queue(launch: Launch) -> str:
    lines = ask("squeue", "--noheader", "--format=%A %T %k").splitlines()
    return "".join(line for line in lines if str(launch.root) in line)


def ranks(launch: Launch) -> dict[str, psutil.Process]:
    """Return the processes of its newest job, by their number."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if str(launch.jobs[-1]) in words and "submitit.core._submit" in words and not words[0].endswith("srun"):
            found[process.environ()["SLURM_PROCID"]] = process
    return found


def last_line(output: str) -> str:
    return output.strip().splitlines()[-1]


def start_now(launch: Launch) -> None:
    """Spare the two minutes that SLURM leaves a job that was put back alone."""
    number = job_id(launch)
    wait_for(lambda: job_state(number).name == "PENDING")
    time.sleep(2)  # a start in the second in which the nodes still drop the job is refused, and the job is then over
    ask("scontrol", "update", f"JobId={number}", "StartTime=now")


def test_training_ran_on_two_nodes_and_is_that_of_four_local_processes(straight: Launch, make_launch: MakeLaunch):
    (job,) = all_jobs(straight)
    assert job.endswith(" COMPLETED")
    recorded = ("sacct", "-X", "-n", "-P", "-j", job_id(straight), "-o", "State,NNodes,NodeList,NCPUS")
    wait_for(lambda: ask(*recorded) == "COMPLETED|2|node[1-2]|8\n", seconds=30)
    hosts = [json.loads(note.read_text())["host"] for note in sorted(straight.jobs[0].glob("outcome*.json"))]
    assert hosts == ["node1", "node1", "node2", "node2"]
    local = make_launch("launcher.tasks_per_node=4", name="local")
    local.run()
    assert_same_training(straight.folder, local.folder)
    assert straight.run() == "runs/demo/seed0: finished already\n"


def test_first_step_comes_within_twenty_seconds(make_launch: MakeLaunch):
    launch = make_launch(*NODES, "train.max_iter=2", "train.log_period=1")
    with launch.start() as process:
        wait_for(lambda: "RUNNING" in queue(launch), process)
        started = time.monotonic()
        launch.wait_for_records(1, process)
        assert time.monotonic() - started < 20
        process.communicate(timeout=120)


def test_requeued_training_ends_with_the_same_bits(straight: Launch, disturbed: Launch):
    with disturbed.start() as process:
        disturbed.wait_for_records(6, process)
        ask("scontrol", "requeue", job_id(disturbed))
        start_now(disturbed)
        output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    assert "was put back into the queue" in output
    assert len(disturbed.jobs) == 1
    assert_same_training(straight.folder, disturbed.folder)


def test_preempted_training_ends_with_the_same_bits(straight: Launch, disturbed: Launch):
    with disturbed.start() as process:
        disturbed.wait_for_records(6, process)
        ask("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 5")
        start_now(disturbed)
        output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    assert "was put back into the queue" in output
    assert_same_training(straight.folder, disturbed.folder)


def test_training_killed_on_one_node_goes_on_in_another_job(straight: Launch, disturbed: Launch):
    with disturbed.start() as process:
        disturbed.wait_for_records(6, process)
        ranks(disturbed)["3"].kill()
        output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    (line,) = [line for line in output.splitlines() if "submitting it again" in line]
    # SLURM may kill its neighbor on the node before that one can say why it ends.
    assert "process 3 was killed" in line or "2 of its 4 processes were killed" in line
    assert "jobs/1/" in line
    assert [job.split()[1] for job in all_jobs(disturbed)] == ["FAILED", "COMPLETED"]
    assert_same_training(straight.folder, disturbed.folder)


def test_training_whose_time_is_up_goes_on_in_another_job(make_launch: MakeLaunch, straight: Launch):
    # A minute is the shortest time limit; the warning comes up to a minute early, and no later than asked for.
    launch = make_launch(*NODES, "launcher.runtime=1", "launcher.warning_seconds=50", "train.max_iter=400")
    with launch.start() as process:
        wait_for(lambda: len(launch.jobs) > 1, process, seconds=200)
        wait_for(lambda: "RUNNING" in queue(launch), process)
        os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=120)[0]
    (line,) = [line for line in output.splitlines() if "submitting it again" in line]
    assert "SIGUSR2: stopped and saved at iteration" in line or "its time was up" in line
    assert queue(launch) == ""


def test_cancelled_training_is_not_submitted_again(disturbed: Launch):
    with disturbed.start() as process:
        disturbed.wait_for_records(3, process)
        ask("scancel", job_id(disturbed))
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    log = f"runs/demo/seed0/jobs/1/{job_id(disturbed)}_0_log.out"
    assert last_line(output) == f"vclr: demo/seed0: job {job_id(disturbed)} ended: it was cancelled; log: {log}"
    assert (disturbed.root / log).exists()
    assert len(disturbed.jobs) == 1


def test_job_that_fails_at_once_is_not_submitted_again(make_launch: MakeLaunch, tmp_path: Path):
    (tmp_path / "broken.pth").write_text("no weights")
    launch = make_launch(*NODES, f"train.init_checkpoint={tmp_path}/broken.pth")
    output = launch.run(code=1)
    line = last_line(output)
    assert "broken.pth: is not a checkpoint" in line
    assert f"log: runs/demo/seed0/jobs/1/{job_id(launch)}_0_log.out" in line
    assert [job.split()[1] for job in all_jobs(launch)] == ["FAILED"]


@pytest.mark.skipif(not SMALL_DISK, reason="needs a SLURM cluster whose nodes see VCLR_SMALL_DISK, 24 MB")
def test_full_disk_ends_the_training_with_what_was_saved(make_config: MakeConfig):
    """Logs, metrics and checkpoints are on it: the training needs more room than there is."""
    folder = Path(SMALL_DISK) / "work" / "runs" / "demo" / "seed0"
    launch = Launch(make_config(*SETTINGS, *NODES, "train.checkpointer.max_to_keep=20"), folder)
    try:
        line = last_line(launch.run(code=1))
        assert "No space left on device" in line
        assert re.search(r"the checkpoint of iteration \d+ is intact; log: runs/demo/seed0/jobs/1/", line)
        assert len(launch.jobs) == 1
        subprocess.run(["dd", "if=/dev/zero", f"of={SMALL_DISK}/fill", "bs=4k"], check=False, capture_output=True)
        assert "No space left on device" in last_line(launch.run(code=1))  # not even a job's folder
        assert len(launch.jobs) == 1
    finally:
        for path in Path(SMALL_DISK).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_settings_that_cannot_be_are_refused_before_the_queue(make_launch: MakeLaunch):
    launch = make_launch(*NODES)
    assert "unknown key 'train.max_itr'" in launch.run("train.max_itr=3", code=2)
    assert "launcher.nodes" in launch.run("launcher.nodes=0", code=2)
    assert "total_batch_size=3: must be a multiple" in launch.run("dataloader.train.total_batch_size=3", code=2)
    refused = launch.run("launcher.partition=nowhere", code=1)
    assert last_line(refused).startswith("vclr: demo/seed0: SLURM refuses the job: ")
    assert "invalid partition" in last_line(refused)
    assert "missing.json: does not exist" in launch.run("data.train.annotations=missing.json", code=1)
    assert all_jobs(launch) == []


def test_training_that_fails_at_the_same_step_is_given_up(make_launch: MakeLaunch):
    launch = make_launch(*NODES, "train.max_iter=2000", "train.log_period=1000")
    with launch.start() as process:
        for number in (1, 2):
            wait_for(lambda number=number: len(launch.jobs) == number and ranks(launch).get("2"), process)
            wait_for(lambda: (launch.folder / "checkpoints").exists(), process)
            ranks(launch)["2"].kill()
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 1, output
    assert "processes were killed" in last_line(output)
    assert "2 times at iteration 0; given up; log: runs/demo/seed0/jobs/2/" in last_line(output)
    assert len(all_jobs(launch)) == 2


def test_killed_client_leaves_the_training_and_the_next_one_follows_it(straight: Launch, disturbed: Launch):
    with disturbed.start() as process:
        disturbed.wait_for_records(3, process)
        process.kill()
    assert "RUNNING" in queue(disturbed)
    output = disturbed.run()
    assert f"job {job_id(disturbed)} is under way (running); following it" in output
    assert len(all_jobs(disturbed)) == 1
    assert_same_training(straight.folder, disturbed.folder)


def test_two_clients_submit_one_job(disturbed: Launch):
    with disturbed.start() as first, disturbed.start() as second:
        outputs = [process.communicate(timeout=240)[0] for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], outputs
    assert len(all_jobs(disturbed)) == 1


def test_client_that_was_killed_while_submitting_is_followed_by_one_that_finds_the_job(disturbed: Launch):
    with disturbed.start() as process:
        disturbed.wait_for_records(1, process)
        process.kill()
    record = disturbed.jobs[0] / "job.json"
    number = job_id(disturbed)
    record.write_text(json.dumps({**json.loads(record.read_text()), "job_id": ""}))
    assert f"job {number} is under way" in disturbed.run()
    assert len(all_jobs(disturbed)) == 1


def test_other_settings_do_not_join_a_job(disturbed: Launch):
    with disturbed.start() as process:
        disturbed.wait_for_records(1, process)
        output = disturbed.run("optimizer.lr=0.5", code=1)
        assert "trains here with other settings" in last_line(output)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


def test_interrupted_client_cancels_its_job_which_saves(straight: Launch, disturbed: Launch):
    with disturbed.start() as process:
        disturbed.wait_for_records(4, process)
        output = disturbed.interrupt(process, times=3)
    assert "interrupted; job" in last_line(output)
    assert queue(disturbed) == ""
    outcome = json.loads((disturbed.jobs[0] / "outcome0.json").read_text())
    assert re.match(r"SIGTERM: stopped and saved at iteration \d+", outcome["message"])
    disturbed.run()
    assert_same_training(straight.folder, disturbed.folder)


def test_interrupted_client_may_leave_its_job(disturbed: Launch):
    with disturbed.start("launcher.on_interrupt=detach") as process:
        disturbed.wait_for_records(2, process)
        output = disturbed.interrupt(process)
    assert "keeps running" in last_line(output)
    assert "RUNNING" in queue(disturbed)
    disturbed.run()
    assert len(all_jobs(disturbed)) == 1


def test_job_runs_the_code_of_its_submission(make_launch: MakeLaunch, tmp_path: Path):
    """What is edited while the job waits in the queue does not run."""
    launch = make_launch(*NODES, "train.max_iter=3", "launcher.extra=--hold")
    shutil.copytree(ROOT / "vclr", tmp_path / "live" / "vclr")
    with launch.start(code=tmp_path / "live") as process:
        wait_for(lambda: "PENDING" in queue(launch), process)
        (tmp_path / "live" / "vclr" / "engine" / "step.py").write_text("this is no Python")
        ask("scontrol", "release", job_id(launch))
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert "waits (JobHeldUser)" in output
