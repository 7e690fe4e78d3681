"""Where a training runs: submitted to SLURM or started on this machine, both through submitit."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.config import LauncherConfig
from vclr.errors import UsageError, UserError
from vclr.launch import cluster
from vclr.launch.cluster import JobState
from vclr.launch.job import Job
from vclr.launch.process import TrainingProcess

if TYPE_CHECKING:
    import psutil
    import submitit

A_YEAR = 60 * 24 * 365  # minutes
KILL_SECONDS = 120.0  # how long a local training may take to save before it is killed


class SlurmBackend:
    """Jobs of a SLURM cluster."""

    def submit(self, job: Job, config: LauncherConfig) -> None:
        """Submit a job and set its id.

        Raises:
            UserError: SLURM refuses it or is not installed.
        """
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        cluster.ask("sinfo", "--version")
        for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
            if name != "SLURM_CONF":
                del os.environ[name]  # of the job that runs us; sbatch would take it for options
        executor = submitit.SlurmExecutor(job.folder)
        executor.update_parameters(**sbatch_options(job.name, job.folder, config))
        try:
            job.job_id = _submit(executor, job).job_id
        except (FailedJobError, FailedSubmissionError) as error:
            raise UserError(f"{job.name}: SLURM refuses the job: {cluster.complaint(str(error))}") from None

    def find(self, job: Job) -> str:
        """Return the id of a job whose client died before it recorded the id; the job's comment is its folder."""
        return cluster.find_job(str(job.folder)) or ""

    def state(self, job: Job) -> JobState:
        """Return the state that SLURM reports."""
        return cluster.job_state(job.job_id)

    def cancel(self, job: Job) -> None:
        """Cancel the job."""
        cluster.cancel_job(job.job_id)


class LocalBackend:
    """Processes on this machine, which keep running when the one that started them ends."""

    def submit(self, job: Job, config: LauncherConfig) -> None:
        """Start the processes and set the id."""
        import submitit

        if config.nodes > 1:
            raise UsageError(
                f"launcher.nodes={config.nodes}: launcher.backend=local is one machine; use launcher.tasks_per_node"
            )
        executor = submitit.LocalExecutor(job.folder)
        executor.update_parameters(tasks_per_node=config.tasks_per_node, timeout_min=A_YEAR, stderr_to_stdout=True)
        with _left_alone():
            job.job_id = _submit(executor, job).job_id
        process = _process(job)
        job.started = process.create_time() if process else 0.0

    def find(self, job: Job) -> str:
        """Find nothing: the lock of the folder keeps a second training out."""
        return ""

    def state(self, job: Job) -> JobState:
        """Return whether the process is running."""
        return JobState("RUNNING" if _process(job) else "ENDED", nodes="this machine")

    def cancel(self, job: Job) -> None:
        """Make all processes save and end; kill those that do not."""
        process = _process(job)
        if process is None:
            return
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        end = time.monotonic() + KILL_SECONDS
        while _process(job) and time.monotonic() < end:
            time.sleep(0.1)
        for member in family:
            if member.is_running():
                member.kill()


Backend = SlurmBackend | LocalBackend


def choose_backend(name: str) -> Backend:
    """Return the backend that runs jobs outside this process."""
    return SlurmBackend() if name == "slurm" else LocalBackend()


def sbatch_options(name: str, folder: Path, config: LauncherConfig) -> dict[str, Any]:
    """Return the options of a job for submitit, without those that the cluster decides.

    The comment is the job's folder, by which a job is found whose id was not recorded.
    """
    options: dict[str, Any] = {
        "job_name": name,
        "comment": str(folder),
        "nodes": config.nodes,
        "ntasks_per_node": config.tasks_per_node,
        "cpus_per_task": config.cpus_per_task or None,
        "gpus_per_node": None if config.gres else _gpus_per_node(config),
        "gres": config.gres or None,
        "mem": f"{config.mem_mb}M" if config.mem_mb else None,
        "time": config.runtime or None,
        "partition": config.partition or None,
        "account": config.account or None,
        "qos": config.qos or None,
        "constraint": config.constraint or None,
        "signal_delay_s": config.warning_seconds,
        "wckey": None,
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **_read_options(config.extra)},
    }
    # If a process fails, the others are ended too: they would wait for it.
    steps = ["--kill-on-bad-exit=1", "--open-mode=append"]
    if config.cpus_per_task:
        steps.append(f"--cpus-per-task={config.cpus_per_task}")  # since SLURM 22.05, srun does not take it from the job
    return options | {"srun_args": steps}


def _gpus_per_node(config: LauncherConfig) -> str | None:
    """Return the GPUs per node in SLURM's notation, with their type if it is given; None if the job needs none."""
    number = config.gpus_per_node if config.gpus_per_node >= 0 else _one_for_each_process(config)
    if not number:
        return None
    return f"{config.gpu_type}:{number}" if config.gpu_type else str(number)


def _one_for_each_process(config: LauncherConfig) -> int:
    available = cluster.count_gpus(config.partition, config.gpu_type)
    if 0 < available < config.tasks_per_node:
        raise UsageError(
            f"launcher.tasks_per_node={config.tasks_per_node}: each process needs a GPU, and nodes of the partition "
            f"have {available}"
        )
    return config.tasks_per_node if available else 0


def _read_options(text: str) -> dict[str, Any]:
    """Read options as written on a command line: `--a=b --c d --e`."""
    options: dict[str, Any] = {}
    name = ""
    for word in shlex.split(text):
        if word.startswith("-"):
            name, separator, value = word.lstrip("-").partition("=")
            options[name] = value if separator else True
        elif name and options[name] is True:
            options[name] = word
        else:
            raise UsageError(f"launcher.extra={text}: {word!r} belongs to no option; write --option=value")
    return options


def _submit(executor: submitit.Executor, job: Job) -> submitit.Job[None]:
    """Submit from the folder of the code, so that the job's processes start there."""
    work = TrainingProcess(str(job.folder), os.getcwd(), os.environ.get("CUDA_VISIBLE_DEVICES"), job.backend)
    before = Path.cwd()
    os.chdir(job.code)
    try:
        return executor.submit(work)
    finally:
        os.chdir(before)


@contextmanager
def _left_alone() -> Iterator[None]:
    """Start processes that ignore Ctrl-C and the end of the terminal, and that keep no pipe of ours open."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    ours = [os.dup(descriptor) for descriptor in range(3)]
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    try:
        yield
    finally:
        for descriptor, copy in enumerate(ours):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nothing)
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def _process(job: Job) -> psutil.Process | None:
    """Return the running process of a local job, unless its number belongs to another process by now."""
    import psutil

    try:
        process = psutil.Process(int(job.job_id))
        is_ours = not job.started or abs(process.create_time() - job.started) < 1.0
        return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, ValueError):
        return None
