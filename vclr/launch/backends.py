"""Where a training runs: submitted to SLURM or started on this machine, both through submitit."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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
KILL_SECONDS = 120.0  # that a local training gets to save before it is killed


class Backend(Protocol):
    """What can run a job, say what became of it, and end it."""

    def submit(self, job: Job, config: LauncherConfig) -> None:
        """Start a job, and set the id by which it is known from then on."""

    def find(self, job: Job) -> str:
        """Return the id of a job whose client ended between submitting it and writing that down, or nothing."""

    def state(self, job: Job) -> JobState:
        """Say what became of a job."""

    def cancel(self, job: Job) -> None:
        """Have a job's processes save and end."""


def choose_backend(name: str) -> Backend:
    """Return the backend that runs jobs outside this process."""
    return SlurmBackend() if name == "slurm" else LocalBackend()


class SlurmBackend:
    """Jobs of a SLURM cluster."""

    def submit(self, job: Job, config: LauncherConfig) -> None:
        """Submit a job.

        Raises:
            UserError: SLURM refuses it, or is not there.
        """
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        cluster.ask("sinfo", "--version")
        for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
            if name != "SLURM_CONF":
                del os.environ[name]  # of a job that this is submitted from, which would be taken for wishes
        executor = submitit.SlurmExecutor(job.folder)
        executor.update_parameters(**sbatch_options(job.name, job.folder, config))
        try:
            job.job_id = _submit(executor, job).job_id
        except (FailedJobError, FailedSubmissionError) as error:
            raise UserError(f"{job.name}: SLURM refuses the job: {cluster.complaint(str(error))}") from None

    def find(self, job: Job) -> str:
        """Look for the job by its comment, which is its folder."""
        return cluster.find_job(str(job.folder)) or ""

    def state(self, job: Job) -> JobState:
        """Ask SLURM."""
        return cluster.job_state(job.job_id)

    def cancel(self, job: Job) -> None:
        """Cancel the job."""
        cluster.cancel_job(job.job_id)


class LocalBackend:
    """Processes on this machine, which go on when the one that started them ends."""

    def submit(self, job: Job, config: LauncherConfig) -> None:
        """Start the processes."""
        import submitit

        if config.nodes > 1:
            raise UsageError(
                f"launcher.nodes={config.nodes}: launcher.backend=local is one machine; use tasks_per_node"
            )
        executor = submitit.LocalExecutor(job.folder)
        executor.update_parameters(tasks_per_node=config.tasks_per_node, timeout_min=A_YEAR, stderr_to_stdout=True)
        with _left_alone():
            job.job_id = _submit(executor, job).job_id
        process = _process(job)
        job.started = process.create_time() if process else 0.0

    def find(self, job: Job) -> str:
        """Say that there is none: the folder's lock keeps a second training out."""
        return ""

    def state(self, job: Job) -> JobState:
        """Look for the process."""
        return JobState("RUNNING" if _process(job) else "ENDED", nodes="this machine")

    def cancel(self, job: Job) -> None:
        """Have all processes save and end; kill what is left then."""
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


def sbatch_options(name: str, folder: Path, config: LauncherConfig) -> dict[str, Any]:
    """Return the options of a job as submitit wants them; what the cluster is to decide is left out.

    Its folder is its comment, by which a job is found whose id was not written down.
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
    # A process that fails takes the others along: they would wait for it.
    steps = ["--kill-on-bad-exit=1", "--open-mode=append"]
    if config.cpus_per_task:
        steps.append(f"--cpus-per-task={config.cpus_per_task}")  # srun does not ask the job since SLURM 22.05
    return options | {"srun_args": steps}


def _gpus_per_node(config: LauncherConfig) -> str | None:
    """Return number and, where it is given, type of a node's GPUs in SLURM's words; None where it needs none."""
    number = config.gpus_per_node if config.gpus_per_node >= 0 else _one_for_each_process(config)
    if not number:
        return None
    return f"{config.gpu_type}:{number}" if config.gpu_type else str(number)


def _one_for_each_process(config: LauncherConfig) -> int:
    available = cluster.count_gpus(config.partition, config.gpu_type)
    if 0 < available < config.tasks_per_node:
        raise UsageError(
            f"launcher.tasks_per_node={config.tasks_per_node}: a process for each GPU, and nodes of the partition "
            f"have {available}"
        )
    return config.tasks_per_node if available else 0


def _read_options(text: str) -> dict[str, Any]:
    """Read options as they stand on a command line: `--a=b --c d --e`."""
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
    """Submit from the folder of the code, where the job's processes start then."""
    work = TrainingProcess(str(job.folder), os.getcwd(), os.environ.get("CUDA_VISIBLE_DEVICES"), job.backend)
    before = Path.cwd()
    os.chdir(job.code)
    try:
        return executor.submit(work)
    finally:
        os.chdir(before)


@contextmanager
def _left_alone() -> Iterator[None]:
    """Start processes that hear neither Ctrl-C nor the end of the terminal, and that hold no pipe of ours open."""
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
    """Return the living process of a local job; its number may be another one's by now."""
    import psutil

    try:
        process = psutil.Process(int(job.job_id))
        is_ours = not job.started or abs(process.create_time() - job.started) < 1.0
        return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, ValueError):
        return None
