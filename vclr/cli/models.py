"""Verbs for models: train, evaluate, score."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vclr.cli.checkpoints import CHECKPOINTS, as_path
from vclr.cli.evaluating import evaluate_all, evaluate_files, plan_evaluations, settings_of, split_names
from vclr.cli.examples import EXAMPLES
from vclr.cli.options import (
    ConfigFile,
    OutputFolder,
    Overrides,
    Protocols,
    Quiet,
    ShardOption,
    Weights,
    app,
    load_config,
    with_weights,
)
from vclr.engine.launched import read_place
from vclr.errors import UsageError
from vclr.outputs import EVALUATION, check_output_file, check_output_folder, is_same_file

if TYPE_CHECKING:
    from vclr.config import Config


@app.command()
def train(
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    num_gpus: Annotated[int, typer.Option(help="Number of processes, one per GPU (or on the CPU).")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training in train.output_dir.")] = False,
    eval_only: Annotated[bool, typer.Option("--eval-only", help="Evaluate train.init_checkpoint instead.")] = False,
    weights: Weights = "",
    replay: Annotated[Path | None, typer.Option(help="Repeat the step saved in this nonfinite-N.pt instead.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train a detector.

    On SIGTERM, SIGUSR1 or SIGUSR2 the command finishes the current step, saves, and exits with 75, which means "start
    again with --resume". Ctrl-C does the same with 130; a second Ctrl-C stops at once. See docs/resume.md.
    """
    if replay is not None:
        # The step has its own settings.
        given = {"--num-gpus": num_gpus != 1, "--resume": resume, "--eval-only": eval_only}
        given |= {"--config-file": config_file is not None, "--weights": bool(weights)}
        settings = [text for text in overrides or () if text.partition("=")[0] != "train.device"]
        _refuse_unused("--replay", [*(name for name in given if given[name]), *settings])
        from vclr.engine.replay import replay as take_again

        take_again(replay, load_config(None, overrides or ()).train.device)
        return
    config = with_weights(_load(config_file, overrides or (), num_gpus), weights)
    if num_gpus < 0:
        raise UsageError(f"--num-gpus {num_gpus}: must not be negative")
    if eval_only:
        _refuse_unused("--eval-only", ["--resume"] if resume else [])
    elif weights:
        raise UsageError(f"--weights {weights}: needs --eval-only; evaluations during a training are of both")
    if eval_only and not config.train.init_checkpoint:
        raise UsageError("--eval-only: needs train.init_checkpoint=FILE")
    if config_file is None and not overrides:
        raise UsageError(f"train: needs a configuration or data; example: {EXAMPLES['train']} (or `make demo`)")
    place = read_place()
    if place and num_gpus > 1 and num_gpus not in (place.world_size, place.local_world_size):
        raise UsageError(
            f"--num-gpus {num_gpus}: WORLD_SIZE={place.world_size} in the environment is another number; "
            "leave --num-gpus out, or unset WORLD_SIZE"
        )
    if num_gpus > 1 and place is None:
        from vclr.launch.spawn import check_gpus, run_processes

        check_gpus(num_gpus, config.train.device)
        raise typer.Exit(run_processes(sys.argv[1:], num_gpus))
    if config.train.init_checkpoint:
        # The run folder records the file, so that a resumed training starts from the same one.
        config.train.init_checkpoint = str(as_path(Path(config.train.init_checkpoint), config.tracking.uri))
    if eval_only:
        from vclr.models.weights import find_checkpoint

        checkpoint = find_checkpoint(Path(config.train.init_checkpoint))
        evaluate_all({Path(config.train.output_dir): config}, checkpoint, quiet)
        return
    from vclr.engine.ending import leaving_at_once
    from vclr.engine.train import train as run_training

    with leaving_at_once():
        run_training(config, resume=resume, quiet=quiet)


def _load(config_file: Path | None, overrides: list[str] | tuple[str, ...], num_gpus: int = 1) -> Config:
    """Load settings. If several processes do, or will, the first of them says in one line what is odd about them."""
    place = read_place()
    if place.rank if place else num_gpus > 1:
        logging.getLogger("vclr.config").setLevel(logging.ERROR)
    return load_config(config_file, overrides)


def _refuse_unused(option: str, unused: list[str]) -> None:
    if unused:
        raise UsageError(f"{option}: does not use {unused[0]}; leave it out")


@app.command()
def evaluate(
    output: OutputFolder,
    overrides: Overrides = None,
    config_file: ConfigFile = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help=f"What to evaluate: {CHECKPOINTS} (default: the untrained model).")
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="Evaluate this file of results or proposals instead; repeat the option to join shards."),
    ] = None,
    weights: Weights = "",
    model_config: Annotated[
        Path | None,
        typer.Option(
            help="Evaluate a model of detectron2 or detrex: its configuration (sets detectron2.config; "
            "see docs/baselines.md)."
        ),
    ] = None,
    shard: ShardOption = None,
    protocol: Protocols = None,
    quiet: Quiet = False,
) -> None:
    """Evaluate a detector: write metrics.json, bootstrap.npz and predictions.json.

    Run the same command again after an interruption: it goes on with the batch at which it was stopped.
    Of several protocols, it leaves out those that are done.

    With --shard K/N, only predictions.json is written, for a block of whole batches (dataloader.test.batch_size). Each
    shard needs a folder of its own. Give the files of all N shards, each after a --predictions, to evaluate them as if
    there had been no shards. Processes that torchrun starts do all this by themselves.

    --predictions FILE also copies COCO results to predictions.json; if FILE holds object proposals, an older
    predictions.json is removed.
    """
    protocols = split_names(protocol)
    foreign = [f"detectron2.config={model_config}"] if model_config else []
    config = with_weights(_load(config_file, [*foreign, *(overrides or ()), *settings_of(protocols)]), weights)
    if model_config and predictions:
        raise UsageError(f"--model-config {model_config}: has no effect with --predictions; leave it out")
    if weights and checkpoint is None and len(predictions or ()) < 2:  # the files of shards say which weights it was
        raise UsageError(f"--weights {weights}: needs --checkpoint")
    if checkpoint is not None:
        from vclr.models.weights import find_checkpoint

        checkpoint = find_checkpoint(as_path(checkpoint, config.tracking.uri))
    inputs: dict[str, Any] = {"data.test.annotations": config.data.test.annotations, "--predictions": predictions}
    inputs |= {"--checkpoint": checkpoint, "--config-file": config_file, "--model-config": model_config}
    evaluations = plan_evaluations(config, protocols, output)
    for folder in evaluations:
        files = dict(EVALUATION)
        if predictions and len(predictions) == 1 and is_same_file(predictions[0], folder / "predictions.json"):
            del files["predictions.json"]  # it stays
        check_output_folder(folder, inputs, files)
    if not predictions:
        evaluate_all(evaluations, checkpoint, quiet, shard)
        return
    if checkpoint is not None or shard:
        other = "--checkpoint" if checkpoint is not None else "--shard"
        raise UsageError(f"--predictions and {other}: give one of them, not both")
    place = read_place()
    if place is None or not place.rank:  # the first process of several is enough for it
        evaluate_files(evaluations, predictions)


@app.command()
def score(
    ground_truth: Annotated[Path, typer.Argument(help="COCO json with the annotations.")],
    predictions: Annotated[Path, typer.Argument(help="COCO results json.")],
    output: Annotated[Path | None, typer.Option(help="Also write the metrics to this file.")] = None,
    lvis: Annotated[
        bool,
        typer.Option(
            "--lvis",
            help="Add LVIS's own figures, for predictions with its classes (needs lvis). They have no intervals.",
        ),
    ] = False,
    intervals: Annotated[
        bool, typer.Option(help="Also compute the 95 % interval of each metric over images (bootstrap).")
    ] = True,
    class_aware: Annotated[
        bool,
        typer.Option("--class-aware", help="Count a detection only for objects of its own category, and average."),
    ] = False,
    boundary: Annotated[
        bool,
        typer.Option("--boundary", help="Also compute the metrics of masks with Boundary IoU, which takes longer."),
    ] = False,
) -> None:
    """Compute the metrics of a results file, in percent, without regard to classes by default."""
    from vclr.evaluation.federated import score_as_lvis
    from vclr.evaluation.recall import score as compute
    from vclr.files import write_json
    from vclr.processes import count_cpus
    from vclr.worker_pool import WorkerPool

    if output is not None:
        check_output_file(output, {"GROUND_TRUTH": ground_truth, "PREDICTIONS": predictions}, ("box_ap", "box_ar@100"))
    others = {"--class-aware": class_aware, "--boundary": boundary}
    if lvis:
        _refuse_unused("--lvis", [name for name in others if others[name]])
        metrics = score_as_lvis(ground_truth, predictions, intervals)
    else:
        metrics = compute(
            ground_truth,
            predictions,
            intervals=intervals,
            pool=WorkerPool(count_cpus()),
            class_aware=class_aware,
            boundary=boundary,
        )
    if output is not None:
        write_json(output, metrics, indent=1)
    print(json.dumps(metrics, indent=1))
