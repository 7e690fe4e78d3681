"""A training as jobs: submitted once, found again, followed to its end, and resubmitted if it was interrupted."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from vclr.config import Config, read_config
from vclr.config.checks import check_processes
from vclr.data.readiness import check_experiment
from vclr.engine.same_training import differing_settings, is_same_training
from vclr.errors import UsageError, UserError
from vclr.evaluation.history import read_records
from vclr.file_lock import lock_file
from vclr.file_names import shown_path
from vclr.launch.backends import Backend, choose_backend
from vclr.launch.cluster import UNKNOWN, JobState
from vclr.launch.job import Job, last_job, new_job_folder, prepare_job
from vclr.launch.log_tail import LogTail, last_lines
from vclr.launch.process import DONE, TrainingProcess, outcome_file, read_outcomes
from vclr.launch.verdict import Ending, Verdict, judge

log = logging.getLogger("vclr.launch")

SUBMISSION_SECONDS = 120.0  # how long a client waits while another one submits
LOOK_SECONDS = 0.7  # between two checks of the files of a job
GRACE_SECONDS = 60.0  # how long processes may take to end by themselves after one has failed
RUNS = ("RUNNING", "COMPLETING")
LINES = 20  # of the log, printed when a training is given up


class InterruptedLaunchError(UserError):
    """Report in one line what happened to the job when its client was interrupted."""

    exit_code = 130


def launch(config: Config, detach: bool = False) -> None:
    """Run a training as `config.launcher` says, and return when it is done.

    A training that is already under way is followed, not submitted again; a finished one is left alone.

    Args:
        config: the experiment; everything is kept in `train.output_dir`, the jobs in its folder `jobs/`.
        detach: return once it is submitted.

    Raises:
        UserError: the training cannot run, was cancelled, or is given up; one line with the path of the log.
        InterruptedLaunchError: Ctrl-C; the job is cancelled or keeps running, as `launcher.on_interrupt` says.
    """
    config = _with_threads(config)
    if config.launcher.backend == "debug":
        _launch_here(config)
        return
    # Refuse bad settings now, not when the job reaches the head of the queue.
    check_processes(config, num_processes(config))
    has_begun = any(Path(config.train.output_dir, "checkpoints").glob("*.pt"))
    check_experiment(config, needs_first_weights=not has_begun)
    if _is_finished(config):
        log.info("%s: finished already", config.train.output_dir)
        return
    before: Job | None = None
    signal.signal(signal.SIGINT, _hear_once(signal.getsignal(signal.SIGINT)))
    while True:
        try:
            job = attach_or_submit(config, before)
            if detach:
                log.info("%s: detached; run the same command to follow it", job.name)
                return
            verdict = follow(choose_backend(job.backend), job, config.launcher.poll_seconds)
        except KeyboardInterrupt:
            raise _interrupted(config) from None
        if verdict.ending is not Ending.DONE:
            before = _learn(job, verdict, config)
        elif job.config().train.max_iter == config.train.max_iter:  # the job may have been for fewer iterations
            return


def num_processes(config: Config) -> int:
    """Return how many processes a training has."""
    return config.launcher.nodes * config.launcher.tasks_per_node


def attach_or_submit(config: Config, before: Job | None = None) -> Job:
    """Return the job that trains in the folder, or submit one. If several clients do this at once, only one submits.

    Raises:
        UserError: a job with other settings trains there, or the cluster refuses.
    """
    jobs = _jobs_folder(config)
    jobs.mkdir(parents=True, exist_ok=True)
    busy = f"{jobs}/lock: another `vclr launch` has held it for {SUBMISSION_SECONDS:.0f} s"
    with lock_file(jobs / "lock", busy, SUBMISSION_SECONDS):
        job = last_job(jobs)
        if job is not None and (running := _attach(job, config)):
            return running
        goes_on = before is not None and job is not None and job.folder == before.folder
        with _interrupts_wait(), new_job_folder(jobs) as folder:
            job = prepare_job(folder, config, num_processes(config), before if goes_on else None)
            choose_backend(job.backend).submit(job, config.launcher)
            job.save()
    log.info("%s: submitted as job %s; log: %s", job.name, job.job_id, shown_path(job.log_file()))
    return job


def _jobs_folder(config: Config) -> Path:
    return Path(config.train.output_dir, "jobs").absolute()


def _attach(job: Job, config: Config) -> Job | None:
    """Return the newest job if it is waiting or running."""
    backend = choose_backend(job.backend)
    if not job.job_id:
        job.job_id = backend.find(job)
        if not job.job_id:
            return None
        job.save()
    state = backend.state(job)
    if state.has_ended:
        return None
    if not is_same_training(job.config(), config):
        raise UserError(f"{job.name}: job {job.job_id} trains here with other settings; cancel it, or let it end")
    if state.name == UNKNOWN:
        raise UserError(f"{job.name}: job {job.job_id} may be running, but SLURM does not answer: {state.reason}")
    log.info("%s: job %s is under way (%s); following it", job.name, job.job_id, state.name.lower())
    return job


def _hear_once(before: Any) -> Any:
    """Return a handler of Ctrl-C that ignores the next one: both the terminal and Snakemake send it to us."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    return interrupt if before is signal.default_int_handler else before  # a shell may have had it ignored


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back until the job that is being submitted is recorded, so that it can be cancelled."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _interrupted(config: Config) -> UserError:
    """Cancel the job or leave it running, as `launcher.on_interrupt` says; return the error to raise."""
    job = last_job(_jobs_folder(config))
    backend = choose_backend(job.backend) if job else None
    if job is None or backend is None or not job.job_id or backend.state(job).has_ended:
        return InterruptedLaunchError("interrupted")
    if config.launcher.on_interrupt == "detach":
        says = f"job {job.job_id} keeps running; run the same command to follow it"
        return InterruptedLaunchError(f"{job.name}: interrupted; {says}")
    log.info("%s: interrupted; job %s saves and is cancelled", job.name, job.job_id)
    backend.cancel(job)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one does not wait
    while not backend.state(job).has_ended:
        time.sleep(LOOK_SECONDS)
    says = f"job {job.job_id} is cancelled, the same command continues from its checkpoint"
    return InterruptedLaunchError(f"{job.name}: interrupted; {says}")


def follow(backend: Backend, job: Job, poll_seconds: float) -> Verdict:
    """Print the log of the first process until the job has ended; return how it ended."""
    tail = LogTail(job.log_file(), from_end=job.log_file().exists())
    known, next_question, pause, failed_since = JobState(""), 0.0, 0.0, float("inf")
    while True:
        tail.pass_on()
        now = time.monotonic()
        # An outcome means that the end is near, but that of a requeued job is there until the job starts again.
        is_ending = known.name in RUNS and any(
            outcome_file(job.folder, rank).exists() for rank in range(job.num_processes)
        )
        if is_ending or now >= next_question:
            state = backend.state(job)
            _say_what_changed(job, known, state)
            # Ask often at first and after a change, then less and less, down to launcher.poll_seconds.
            pause = min(2 * pause, poll_seconds) if state == known else LOOK_SECONDS
            known, next_question = state, now + pause
            outcomes = read_outcomes(job.folder, job.num_processes)
            if state.has_ended:
                tail.pass_on()
                return judge(state, outcomes, job.num_processes)
            has_failed = state.name in RUNS and any(outcome.kind != DONE for outcome in outcomes.values())
            failed_since = min(failed_since, now) if has_failed else float("inf")
            if now - failed_since > GRACE_SECONDS:
                backend.cancel(job)
        time.sleep(LOOK_SECONDS)


def _say_what_changed(job: Job, before: JobState, now: JobState) -> None:
    if now.name == UNKNOWN and before.name != UNKNOWN:
        log.warning("%s: %s; still following job %s", job.name, now.reason, job.job_id)
    elif now.restarts > before.restarts and before.name:
        log.info("%s: job %s was put back into the queue; it continues from its checkpoint", job.name, job.job_id)
    elif now.name == "PENDING" and now.reason not in ("None", before.reason):
        log.info("%s: job %s waits (%s)", job.name, job.job_id, now.reason)
    elif now.name == "RUNNING" and before.name != "RUNNING":
        log.info("%s: job %s runs on %s", job.name, job.job_id, now.nodes)


def _learn(job: Job, verdict: Verdict, config: Config) -> Job:
    """Return the job that the next one continues.

    Raises:
        UserError: another job would not help; says why, and where the log is.
    """
    where = f"log: {shown_path(job.log_file(verdict.rank))}"
    what = f"{job.name}: job {job.job_id} ended: {verdict.reason}"
    if verdict.ending is Ending.REFUSED:
        raise UserError(f"{what}; {where}")
    if not read_outcomes(job.folder, job.num_processes) and not job.log_file().exists():
        raise UserError(
            f"{what}, and left nothing in {shown_path(job.folder)}; `vclr doctor slurm` checks whether the nodes see it"
        )
    limits = config.launcher
    job = replace(job, resubmissions=job.resubmissions + 1)
    if verdict.ending is Ending.FAILED:
        reached = furthest_iteration(job.run_folder)
        job = replace(job, failures=1 if reached > job.reached else job.failures + 1, reached=reached)
        if job.failures >= limits.max_failures:
            print("\n".join(last_lines(job.log_file(verdict.rank), LINES)), file=sys.stderr)
            raise UserError(f"{what}, {job.failures} times at iteration {reached}; given up; {where}")
    if job.resubmissions > limits.max_resubmissions:
        raise UserError(f"{what}; given up after launcher.max_resubmissions={limits.max_resubmissions}; {where}")
    log.warning("%s; submitting it again, to continue from its checkpoint; %s", what, where)
    return job


def furthest_iteration(run_folder: Path) -> int:
    """Return the last iteration that a training has logged, or 0."""
    metrics = run_folder / "metrics.jsonl"
    records = read_records(metrics) if metrics.exists() else []
    return int(records[-1]["iteration"]) if records else 0


def _with_threads(config: Config) -> Config:
    """Set the threads of each process: all its CPUs, or one if there are several processes."""
    alone = num_processes(config) == 1
    threads = config.train.num_threads or (config.launcher.cpus_per_task if alone else 1)
    return replace(config, train=replace(config.train, num_threads=threads))


def _is_finished(config: Config) -> bool:
    if not Path(config.train.output_dir, "DONE").exists() and not _restore_done(config):
        return False
    from vclr.engine.train import is_finished

    return is_finished(config)


def _restore_done(config: Config) -> bool:
    """Write DONE again if the last job has finished the training that the folder holds.

    Snakemake deletes the outputs of a rule before it runs the rule, for whatever reason, and DONE is one of them. The
    outcome that the job recorded stays. If the training was continued by hand since then, it has other settings or a
    newer checkpoint.
    """
    job, folder = last_job(_jobs_folder(config)), Path(config.train.output_dir)
    described, last = folder / "config.yaml", folder / "checkpoints" / "last.pt"
    if job is None or not described.is_file() or not last.is_file():
        return False
    outcomes = read_outcomes(job.folder, job.num_processes)
    if len(outcomes) < job.num_processes or any(outcome.kind != DONE for outcome in outcomes.values()):
        return False
    there, own = read_config(described), job.config()
    if differing_settings(there, own) or there.train.max_iter != own.train.max_iter:
        return False
    if last.stat().st_mtime > outcome_file(job.folder, 0).stat().st_mtime:
        return False
    from vclr.engine.run_folder import RunFolder

    run_folder = RunFolder(own)
    run_folder.mark_done(run_folder.ended_early_at() or own.train.max_iter)
    return True


def _launch_here(config: Config) -> None:
    """Run a training of one process in this one."""
    import submitit

    if num_processes(config) > 1:
        raise UsageError("launcher.backend=debug runs one process; set launcher.nodes and launcher.tasks_per_node to 1")
    with new_job_folder(_jobs_folder(config)) as folder:
        job = prepare_job(folder, config, 1)
    work = TrainingProcess(str(job.folder), str(Path.cwd()), None, job.backend)
    submitit.DebugExecutor(job.folder).submit(work).results()
