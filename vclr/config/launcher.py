"""Settings of the roots `launcher` and `tracking`: where a training runs, and where it is recorded."""

from __future__ import annotations

from dataclasses import dataclass

from vclr.config.setting import setting


@dataclass
class LauncherConfig:
    """Where `vclr launch` runs a training and what it requests; 0 and empty text leave a value to the cluster."""

    backend: str = setting(
        "local",
        "Where it runs: a cluster, this machine, or this process with a debugger on the first error.",
        choices=("slurm", "local", "debug"),
    )
    nodes: int = setting(1, "Number of nodes.", at_least=1)
    tasks_per_node: int = setting(1, "Number of training processes per node.", at_least=1)
    cpus_per_task: int = setting(
        0,
        "CPUs per process. A single process computes with all of them. With several processes, each computes with one "
        "thread and leaves the other CPUs to its loader workers, unless `train.num_threads` is set.",
        at_least=0,
    )
    gpus_per_node: int = setting(-1, "GPUs per node; -1 for one per process if the partition has any.", at_least=-1)
    gpu_type: str = setting("", "Type of the GPUs, if the site requires it: `a100`.")
    gres: str = setting("", "GPUs in SLURM's notation, instead of the two settings above: `gpu:a100:4`.")
    mem_mb: int = setting(0, "Memory per node, in MiB.", at_least=0)
    runtime: int = setting(0, "Minutes that a job may take; then the next job continues.", at_least=0)
    partition: str = setting("", "SLURM partition.")
    account: str = setting("", "SLURM account.")
    qos: str = setting("", "SLURM quality of service.")
    constraint: str = setting("", "Features that the nodes must have.")
    extra: str = setting("", "Further options of sbatch, as on its command line: `--reservation=x --exclusive`.")
    warning_seconds: int = setting(
        120, "Seconds before the time limit at which a job saves: time for a step and a checkpoint.", at_least=1
    )
    poll_seconds: float = setting(10.0, "Seconds between two queries of the cluster.", at_least=1)
    max_resubmissions: int = setting(20, "Maximum number of resubmissions, whatever the reason.", at_least=0)
    max_failures: int = setting(2, "Maximum number of failures without progress in between.", at_least=1)
    on_interrupt: str = setting("cancel", "What Ctrl-C does to the job.", choices=("cancel", "detach"))


@dataclass
class TrackingConfig:
    enabled: bool = setting(True, "Track trainings with MLflow.")
    uri: str = setting(
        "",
        "Where MLflow stores them: a database or a server. If empty, what `MLFLOW_TRACKING_URI` names, else "
        "`sqlite:///mlflow.db`.",
    )
    experiment: str = setting("vclr", "Name of the MLflow experiment.")
    run_name: str = setting("", "Name of the MLflow run. If empty, the last two parts of `train.output_dir`.")
    all_layers: bool = setting(
        False, "Track the losses of the earlier decoder layers and of the proposals too, as `layers/...`."
    )
    log_checkpoint: bool = setting(
        False, "Store a copy of the checkpoint as an artifact. With False, only its path and checksum are stored."
    )
