"""Verbs for jobs on a cluster: launch, doctor slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vclr.cli.options import ConfigFile, Overrides, app, doctor, finite, load_config


@app.command()
def launch(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    backend: Annotated[str, typer.Option(help="Where to train: slurm, local or debug (sets launcher.backend).")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Submit the job and do not wait for it to end.")] = False,
) -> None:
    """Train on a SLURM cluster or locally: submit a job, follow it, and resubmit it after an interruption.

    If this command was stopped, run it again: it finds its job, or does nothing if the training is done. Ctrl-C cancels
    the job, which saves first (with launcher.on_interrupt=detach, the job continues); if this command ends in any other
    way, the job continues. The settings `launcher.*` say what the job requests; see docs/slurm.md.
    """
    from vclr.launch.launch import launch as run_launch

    chosen = [f"launcher.backend={backend}"] if backend else []
    run_launch(load_config(config_file, [*chosen, *(overrides or ())]), detach)


@doctor.command("slurm")
def doctor_slurm(
    profile: Annotated[Path, typer.Option(help="Folder of the site's Snakemake profile.")] = Path("slurm"),
    wait: Annotated[
        float, typer.Option(callback=finite, help="Seconds that the test job may wait in the queue.")
    ] = 300.0,
    job: Annotated[bool, typer.Option("--job/--no-job", help="Submit a test job, or check without one.")] = True,
) -> None:
    """Check that the SLURM cluster fits the profile, say how to fix each problem, and exit 1 if there are errors."""
    from vclr.finding import ERROR, print_finding
    from vclr.launch.doctor import check_slurm

    levels = []
    for finding in check_slurm(profile, wait, job):
        levels.append(finding.level)
        print_finding(finding)
    raise typer.Exit(int(ERROR in levels))
