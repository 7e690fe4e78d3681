"""What the verbs evaluate and train --eval-only do: a model, or files of predictions, on one protocol or several."""

from __future__ import annotations

import logging
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.catalog.classes import ALL
from vclr.errors import UsageError, first_line
from vclr.shards import Shard

if TYPE_CHECKING:
    import torch

    from vclr.config import Config
    from vclr.models.detector import Detector

log = logging.getLogger("vclr")

Evaluations = dict[Path, "Config"]  # the output folder of each


def split_names(options: list[str] | None) -> list[str]:
    """Return the names of `--protocol`, which may be repeated and hold several, separated by commas.

    Raises:
        UsageError: a name is empty.
    """
    names = [name.strip() for option in options or () if option for name in option.split(",")]
    if not all(names):
        raise UsageError(f"--protocol {','.join(options or ())}: expected names separated by commas")
    return names


def settings_of(protocols: list[str]) -> list[str]:
    """Return the settings that the names of `--protocol` stand for."""
    if len(protocols) > 1:
        return [f"evaluation.protocols=[{','.join(protocols)}]"]
    return [f"evaluation.protocol={name}" for name in protocols]


def plan_evaluations(config: Config, protocols: list[str], output: Path) -> Evaluations:
    """Return one evaluation in `output`, or with several protocols each one in a folder of its name.

    Raises:
        UsageError: a protocol is unknown or named twice.
    """
    if len(protocols) < 2:
        return {output: config}
    from vclr.data.data_sets import check_protocols, with_protocol

    check_protocols(config)
    return {output / name: with_protocol(config, name) for name in protocols}


def evaluate_all(evaluations: Evaluations, checkpoint: Path | None, quiet: bool, shard: Shard | None = None) -> None:
    """Evaluate a model, which is read once, or write its predictions for a shard.

    Of several protocols, those that the same command has finished before are left out.
    """
    from vclr.data.readiness import check_test_set

    for config in evaluations.values():
        check_test_set(config)  # before the checkpoint is read, which takes long
    from vclr.engine.distributed import joined_processes, on_first_process, rank, world_size
    from vclr.engine.ending import leaving_at_once
    from vclr.engine.shared_evaluation import evaluate as run_evaluation
    from vclr.evaluation.evaluate import evaluate_shard, read_finished
    from vclr.evaluation.provenance import check_shard_folder

    first = next(iter(evaluations.values()))  # they differ in their protocols alone
    with leaving_at_once(), joined_processes(first.train.device) as device:
        if shard is not None:
            if world_size() > 1:
                shared = f"the {world_size()} processes share the images already"
                raise UsageError(f"--shard {shard}: {shared}; leave it out")
            for output in evaluations:
                check_shard_folder(output, shard)
        model, described = load_detector(first, checkpoint, device, "evaluating")
        for output, config in evaluations.items():
            if shard is not None:
                print(evaluate_shard(model, config, output, shard, quiet, described))
                continue
            title = f"{output.name}/" if len(evaluations) > 1 else ""
            metrics = on_first_process(partial(read_finished, config, output, described)) if title else None
            if metrics:
                log.info("%s: was evaluated before; remove this folder to evaluate again", output)
            else:
                metrics = run_evaluation(model, config, output, quiet, described)
            if metrics and not rank():
                _report(metrics, title)
                _track(config, metrics, model)


def load_detector(
    config: Config, checkpoint: Path | None, device: torch.device, doing: str
) -> tuple[Detector, dict[str, Any] | None]:
    """Return a detector with the weights of a checkpoint, or untrained, and what `provenance` says about them.

    It runs with the configured number of threads; the log says what it is `doing` on which device.
    """
    import torch

    from vclr.device import describe_device
    from vclr.evaluation.provenance import describe_checkpoint
    from vclr.models.ready import fill_detector
    from vclr.models.weights import read_weights

    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    content = read_weights(checkpoint) if checkpoint else None
    model = fill_detector(config, content, str(checkpoint), device)
    log.info("%s on %s", doing, describe_device(device, config.train.device))
    return model, describe_checkpoint(checkpoint, content) if checkpoint and content else None


def evaluate_files(evaluations: Evaluations, predictions: list[Path]) -> None:
    """Evaluate a file of predictions, or the files of all shards."""
    from vclr.evaluation.evaluate import evaluate_file, evaluate_parts

    for output, config in evaluations.items():
        if len(predictions) > 1:
            metrics = evaluate_parts(predictions, config, output)
        else:
            metrics = evaluate_file(predictions[0], config, output)
        _report(metrics, f"{output.name}/" if len(evaluations) > 1 else "")
        _track(config, metrics)


def _report(metrics: dict[str, Any], protocol: str) -> None:
    """Print the results."""
    from vclr.evaluation.caps import format_metrics

    for name, group in metrics["groups"].items() or {ALL: metrics}.items():
        print(f"{protocol}{name}: {format_metrics(group)}")


def _track(config: Config, metrics: dict[str, Any], model: Detector | None = None) -> None:
    """Add the results to the tracked run of the evaluated training, with a picture of what the model finds."""
    from vclr.evaluation.evaluate import open_test_set
    from vclr.evaluation.examples import write_examples
    from vclr.tracking.results import run_of, store_results

    with tempfile.TemporaryDirectory() as folder:
        pictures = []
        if model is not None and run_of(config, metrics["provenance"]):
            try:
                pictures = [write_examples({"found": model}, open_test_set(config), Path(folder))]
            except Exception as error:  # a full disk, too little memory: the results are there
                log.warning("no picture for MLflow: %s", first_line(error))
        store_results(config, metrics, *pictures)
