"""Check that a SLURM site has what the workflow needs, and say how to fix what is missing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vclr.errors import UserError
from vclr.finding import ERROR, OK, WARNING, Finding
from vclr.launch import cluster
from vclr.launch.backends import sbatch_options
from vclr.launch.cluster import ClusterError, ask
from vclr.launch.nodes import check_nodes
from vclr.launch.profile import Profile, read_profile

COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")


def check_slurm(profile: Path, wait_seconds: float, with_job: bool = True) -> Iterator[Finding]:
    """Run all checks in order; stop if the remaining ones cannot work.

    Args:
        profile: file or folder of the Snakemake profile.
        wait_seconds: how long the job that probes the nodes may wait in the queue.
        with_job: whether to submit that job.
    """
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        fix = "log in to a login node of the cluster, or load its module (module load slurm)"
        yield Finding(ERROR, "commands", f"not found: {', '.join(missing)}", fix)
        return
    try:
        version = ask("sinfo", "--version").strip()
        ask("scontrol", "ping")
        settings = _cluster_settings()
    except ClusterError as error:
        yield Finding(
            ERROR, "controller", str(error), "SLURM_CONF names the configuration; or ask the site's help desk"
        )
        return
    yield Finding(OK, "controller", f"{version} answers")
    yield _check_plugin()
    site = read_profile(profile / "config.yaml" if profile.is_dir() else profile)
    partition = _check_partition(site)
    yield partition
    if partition.level == ERROR:
        return
    checks = (_check_accounting, _check_gpus, _check_training, _check_other_jobs)
    for check in (*checks, _check_requeue, _check_preemption, _check_time):
        yield check(site, settings)
    if with_job:
        yield from check_nodes(site.training, wait_seconds)


def _cluster_settings() -> dict[str, str]:
    """Return the configuration of the running cluster."""
    return dict(re.findall(r"^(\w+) *= (.*?) *$", ask("scontrol", "show", "config"), flags=re.MULTILINE))


def _seconds(settings: dict[str, str], name: str) -> int:
    return int(re.sub(r"\D", "", settings.get(name, "")) or 0)


def _check_plugin() -> Finding:
    if find_spec("snakemake_executor_plugin_slurm") and find_spec("submitit"):
        return Finding(OK, "Snakemake", "its SLURM executor and submitit are installed")
    return Finding(
        ERROR,
        "Snakemake",
        "its SLURM executor is not installed",
        "install with Python 3.11 or newer: `make PYTHON=python3.11`",
    )


def _check_accounting(site: Profile, settings: dict[str, str]) -> Finding:
    forgets = _seconds(settings, "MinJobAge")
    try:
        ask("sacct", "-X", "-n", "-S", "now")
        has_accounting = True
    except ClusterError:
        has_accounting = False
    if site.status_command == "sacct" and not has_accounting:
        fix = f"set slurm-status-command: squeue in {site.path}"
        return Finding(ERROR, "accounting", "the cluster has none, but the profile relies on it", fix)
    if site.status_command == "squeue" and forgets < 60:
        fix = f"set slurm-status-command: sacct in {site.path}" if has_accounting else "ask the site for MinJobAge=300"
        return Finding(ERROR, "accounting", f"squeue forgets a finished job within {forgets} s", fix)
    says = "sacct answers" if has_accounting else "the cluster has none; squeue is used instead"
    return Finding(OK, "accounting", f"{says}; squeue remembers finished jobs for {forgets} s")


def _check_gpus(site: Profile, settings: dict[str, str]) -> Finding:
    training = site.training
    lines = [line for line in _partitions("%P|%G") if _is_chosen(line, training.partition)]
    offered = sorted({line.partition("|")[2].strip() for line in lines} - {"(null)"})
    kinds = {"gpu", *re.findall(r"gpu:[A-Za-z][\w.-]*", " ".join(offered))} if offered else set()
    if training.gres and re.sub(r":\d+$", "", training.gres) not in kinds:
        fix = f"set gres in {site.path} to what the nodes have: {', '.join(offered) or 'nothing'}"
        return Finding(ERROR, "GPUs", f"no node of the partition has {training.gres}", fix)
    if training.gpu_type and f"gpu:{training.gpu_type}" not in kinds:
        fix = f"set gpu_type in {site.path} to an available type: {', '.join(offered) or 'none'}; or leave it out"
        return Finding(ERROR, "GPUs", f"no node of the partition has a GPU of type {training.gpu_type}", fix)
    available = cluster.count_gpus(training.partition, training.gpu_type)
    wanted = training.tasks_per_node if training.gpus_per_node < 0 else training.gpus_per_node
    if training.gpus_per_node > available or 0 < available < wanted:
        fix = f"set tasks_per_node and gpus_per_node in {site.path} to at most {available}, and more nodes"
        return Finding(ERROR, "GPUs", f"a training needs {wanted} per node, and the nodes have {available}", fix)
    if not available:
        fix = f"set slurm_partition in {site.path} to a partition with GPUs, if there is one: `sinfo -o '%P %G'`"
        return Finding(WARNING, "GPUs", "the partition has none; trainings run on CPUs", fix)
    return Finding(OK, "GPUs", f"nodes of the partition have {', '.join(offered)}; a training uses {wanted} per node")


def _check_training(site: Profile, settings: dict[str, str]) -> Finding:
    shape = f"{site.training.nodes} nodes x {site.training.tasks_per_node} processes"
    try:
        options = sbatch_options("training", Path.cwd(), site.training)
    except UserError as error:
        return Finding(ERROR, "training", str(error), f"change it in {site.path}")
    return _try_submission(site, f"a training ({shape})", "training", _as_flags(options))


def _check_other_jobs(site: Profile, settings: dict[str, str]) -> Finding:
    flags = {
        "--mem": f"{site.others['mem_mb']}M" if site.others.get("mem_mb") else None,
        "--time": site.others.get("runtime"),
        "--partition": site.others.get("slurm_partition"),
        "--account": site.others.get("slurm_account"),
        "--qos": site.others.get("qos"),
        "--constraint": site.others.get("constraint"),
        "--gpus": f"{site.others['gpu_type']}:1" if site.others.get("gpu_type") else None,  # of evaluations
    }
    return _try_submission(site, "a job of the executor", "jobs", [f"{k}={v}" for k, v in flags.items() if v])


def _as_flags(options: dict[str, Any]) -> list[str]:
    """Return submitit's options as options of sbatch."""
    named = {**options, **options["additional_parameters"], "signal": f"USR2@{options['signal_delay_s']}"}
    of_submitit = ("additional_parameters", "srun_args", "stderr_to_stdout", "signal_delay_s")
    flags = []
    for name, value in named.items():
        if value is not None and name not in of_submitit:
            flag = f"--{name.replace('_', '-')}"
            flags.append(flag if value is True else f"{flag}={value}")
    return flags


def _try_submission(site: Profile, what: str, topic: str, flags: list[str]) -> Finding:
    """Ask SLURM whether it would accept a job, without submitting one."""
    try:
        ask("sbatch", "--test-only", *flags, "--wrap=true")
    except ClusterError as error:
        fix = f"change what {site.path} asks for; `sinfo -o '%P %D %c %m %G %l'` lists what is available"
        return Finding(ERROR, topic, f"SLURM would refuse {what}: {error}", fix)
    return Finding(OK, topic, f"SLURM would accept {what}")


def _check_requeue(site: Profile, settings: dict[str, str]) -> Finding:
    off = "off by default (JobRequeue=0); trainings ask for it, and `vclr launch` resubmits"
    is_on = settings.get("JobRequeue") == "1"
    return Finding(OK, "requeue", "SLURM requeues a job that was preempted or whose node failed" if is_on else off)


def _check_preemption(site: Profile, settings: dict[str, str]) -> Finding:
    kind, mode = settings.get("PreemptType", "preempt/none"), settings.get("PreemptMode", "OFF")
    kill_wait = _seconds(settings, "KillWait")
    if kind.endswith("none"):
        return Finding(OK, "preemption", "this cluster does not preempt jobs")
    if "preempt_send_user_signal" in settings.get("SlurmctldParameters", ""):
        return Finding(OK, "preemption", f"{mode}; a training is warned (SIGUSR2), and saves")
    says = f"{mode}; a preempted training has {kill_wait} s to finish its step and save"
    fix = "if a step takes longer, all since the last checkpoint is lost: choose train.checkpointer.period accordingly"
    return Finding(OK if kill_wait >= 30 else WARNING, "preemption", says, "" if kill_wait >= 30 else fix)


def _check_time(site: Profile, settings: dict[str, str]) -> Finding:
    (line,) = [line for line in _partitions("%P|%L|%l") if _is_chosen(line, site.training.partition)]
    _, default, longest = (part.strip() for part in line.split("|"))
    if site.training.runtime:
        return Finding(OK, "time", f"a training asks for {site.training.runtime} minutes; the longest is {longest}")
    given = longest if default == "n/a" else default
    fix = f"set runtime of train in {site.path}: each job that reaches its limit is resubmitted and waits again"
    return Finding(OK, "time", f"a job gets {given}, the longest is {longest}", fix if given != longest else "")


def _check_partition(site: Profile) -> Finding:
    names = [line.strip() for line in _partitions("%P")]
    for wanted in (site.training.partition, str(site.others.get("slurm_partition", ""))):
        if not any(_is_chosen(name, wanted) for name in names):
            says = f"there is no partition {wanted}" if wanted else "the cluster has no default partition"
            listed = ", ".join(name.rstrip("*") for name in names)
            return Finding(ERROR, "partition", says, f"set slurm_partition in {site.path} to one of: {listed}")
    chosen = next(name for name in names if _is_chosen(name, site.training.partition))
    return Finding(OK, "partition", chosen.rstrip("*") + (" (the default one)" if chosen.endswith("*") else ""))


def _partitions(form: str) -> list[str]:
    """Return one line per partition, whatever the states of its nodes are."""
    return sorted(set(ask("sinfo", "--noheader", f"--format={form}").splitlines()))


def _is_chosen(line: str, partition: str) -> bool:
    """Tell whether a line begins with the name of the partition, or of the default one if the name is empty."""
    name = line.partition("|")[0].strip()
    return name.rstrip("*") == partition if partition else name.endswith("*")
