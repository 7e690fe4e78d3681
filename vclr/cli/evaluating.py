"""What the verbs evaluate and train --eval-only do: a model, or files of predictions, on one protocol or several."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from vclr.config import Config
from vclr.data.data_sets import check_protocols, with_protocol
from vclr.errors import UsageError
from vclr.shards import Shard

Evaluations = dict[Path, Config]  # the output folder of each


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
    check_protocols(config)
    return {output / name: with_protocol(config, name) for name in protocols}


def evaluate_all(evaluations: Evaluations, checkpoint: Path | None, quiet: bool, shard: Shard | None = None) -> None:
    """Evaluate a model, which is read once, or its predictions for a shard."""
    from vclr.data.readiness import check_test_set

    for config in evaluations.values():
        check_test_set(config)  # before the checkpoint is read, which takes long
    import torch

    from vclr.device import describe_device
    from vclr.engine.distributed import joined_processes, world_size
    from vclr.engine.ending import leaving_at_once
    from vclr.engine.shared_evaluation import evaluate as run_evaluation
    from vclr.evaluation.evaluate import evaluate_shard
    from vclr.evaluation.provenance import describe_checkpoint
    from vclr.models.ready import fill_detector
    from vclr.models.weights import read_weights

    first = next(iter(evaluations.values()))  # they differ in their protocols alone
    if first.train.num_threads:
        torch.set_num_threads(first.train.num_threads)
    with leaving_at_once(), joined_processes(first.train.device) as device:
        if shard is not None and world_size() > 1:
            raise UsageError(f"--shard {shard}: the {world_size()} processes share the images already; leave it out")
        content = read_weights(checkpoint) if checkpoint else None
        model = fill_detector(first, content, str(checkpoint), device)
        described = describe_checkpoint(checkpoint, content) if checkpoint and content else None
        del content
        logging.getLogger("vclr").info("evaluating on %s", describe_device(device, first.train.device))
        for output, config in evaluations.items():
            if shard is not None:
                print(evaluate_shard(model, config, output, shard, quiet, described))
            elif metrics := run_evaluation(model, config, output, quiet, described):
                _report(config, metrics, f"{output.name}/" if len(evaluations) > 1 else "")


def evaluate_files(evaluations: Evaluations, predictions: list[Path]) -> None:
    """Evaluate a file of predictions, or the files of all shards."""
    from vclr.evaluation.evaluate import evaluate_file, evaluate_parts

    for output, config in evaluations.items():
        if len(predictions) > 1:
            metrics = evaluate_parts(predictions, config, output)
        else:
            metrics = evaluate_file(predictions[0], config, output)
        _report(config, metrics, f"{output.name}/" if len(evaluations) > 1 else "")


def _report(config: Config, metrics: dict[str, Any], protocol: str) -> None:
    """Print the results and add them to the tracked run of the evaluated training."""
    from vclr.catalog.metrics import format_metrics
    from vclr.tracking.results import store_results

    for name, group in metrics["groups"].items() or {"all": metrics}.items():
        print(f"{protocol}{name}: {format_metrics(group)}")
    store_results(config, metrics)
