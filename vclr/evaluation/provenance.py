"""What was evaluated, for metrics.json: checkpoint, test set, protocol and settings. Imports no torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vclr.catalog.data_sets import PROTOCOLS, PUBLISHED, REBUILT
from vclr.coco.record import read_split_record
from vclr.config import (
    Config,
    DataConfig,
    DataloaderConfig,
    TestLoaderConfig,
    TrainConfig,
    config_hash,
    evaluated_weights,
)
from vclr.data.data_sets import evaluated_groups, known_test_set, protocol_name, test_set
from vclr.errors import UsageError, UserError
from vclr.files import read_json, sha256, write_json
from vclr.json_stream import JsonStream
from vclr.shards import Shard, order_parts

log = logging.getLogger("vclr.evaluation")

FILE = "provenance.json"  # beside the predictions of a shard
PREDICTIONS = "predictions.json"  # what it is beside
SAME = {"test_set": "test set", "protocol": "protocol", "config": "settings"}  # that all shards have


def settings_hash(config: Config) -> str:
    """Return a short hash of the settings that the result of an evaluation depends on, besides the checkpoint.

    The seed is among them, because it decides the weights of an untrained model.
    """
    test, tested = config.dataloader.test, test_set(config)
    loader = DataloaderConfig(test=replace(TestLoaderConfig(), mapper=test.mapper, batch_size=test.batch_size))
    loader.test.dataset.filter_empty = test.dataset.filter_empty
    loader.train.mapper.mask_on = config.dataloader.train.mapper.mask_on
    evaluated = replace(
        config,
        train=TrainConfig(seed=config.train.seed, amp=config.train.amp, model_ema=config.train.model_ema),
        dataloader=loader,
        data=DataConfig(test=replace(tested, views={}, proposals="")),
        # `files` has chosen the annotations of `tested`.
        evaluation=replace(
            config.evaluation, files=REBUILT, protocols=[], test_sets={}, groups=evaluated_groups(config)
        ),
    )
    foreign = ("detectron2",) if config.detectron2.config else ()
    return config_hash(evaluated, ("model", "dataloader", "train", "data", "evaluation", *foreign))


def describe(config: Config, checkpoint: dict[str, Any] | None) -> dict[str, Any]:
    """Return the `provenance` of metrics.json: `checkpoint`, `weights`, `test_set`, `protocol`, `groups`, `config`.

    `weights` says whether the checkpoint's student or teacher was evaluated, None without a checkpoint; `groups` are
    the classes of each group that is evaluated separately, `config` is the hash of the settings. The test set of a
    published protocol has an `origin`: which `files` it is of, and the `json` that it was made from.

    Args:
        config: configuration of the evaluation.
        checkpoint: its `path`, `sha256` and `iteration`; None for an untrained model, or for files of predictions, of
            which `read_common` and `read_of_file` say more.
    """
    data_set = test_set(config)
    digest = sha256(data_set.annotations)
    return {
        "checkpoint": checkpoint,
        "weights": evaluated_weights(config) if checkpoint else None,
        "test_set": {
            "annotations": data_set.annotations,
            "sha256": digest,
            "images": data_set.images,
            **_find_origin(config, data_set.annotations, digest),
        },
        "protocol": protocol_name(config),
        "groups": evaluated_groups(config),
        "config": settings_hash(config),
    }


def _find_origin(config: Config, annotations: str, digest: str) -> dict[str, Any]:
    """Say what the annotations of a published protocol were made from, which the record beside them knows."""
    known = known_test_set(config)
    if known is None or not known.protocol:
        return {}
    rebuilt, record = PROTOCOLS[known.protocol], read_split_record(annotations)
    if record is None or record.output.sha256 != digest:  # no split, or one of other annotations
        return {"origin": {"files": REBUILT if known == rebuilt else PUBLISHED, "json": "", "sha256": ""}}
    source = record.annotations
    is_published = rebuilt.published is not None and source.file == Path(rebuilt.published[1]).name
    files = PUBLISHED if is_published else REBUILT
    return {"origin": {"files": files, "json": source.file, "sha256": source.sha256}}


def describe_checkpoint(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return what `provenance` says about a checkpoint.

    Args:
        path: path of the file.
        content: content of the file; weights from other programs name no iteration.
    """
    iteration = content.get("iteration")
    return {"path": str(path), "sha256": sha256(path), "iteration": iteration if isinstance(iteration, int) else None}


def write_beside(predictions: Path, provenance: dict[str, Any], shard: Shard) -> None:
    """Record beside the predictions of a shard what was evaluated, and which shard it is."""
    write_json(predictions.parent / FILE, {**provenance, "shard": str(shard)}, indent=1)


def check_shard_folder(output: Path, shard: Shard) -> None:
    """Refuse to replace the predictions of another shard, or those of all shards.

    Raises:
        UsageError: the folder holds them.
    """
    if (output / "metrics.json").is_file():
        raise UsageError(f"--output {output}: holds an evaluation of all shards; choose another folder for {shard}")
    found = (_read_beside(output / PREDICTIONS) or {}).get("shard", str(shard))
    if found != str(shard):
        raise UsageError(f"--output {output}: holds predictions of shard {found}; choose another folder for {shard}")


def order_shards(parts: list[Path]) -> list[Path]:
    """Sort the files of all shards; those of unknown shards, such as of other programs, stay in their order.

    Raises:
        UserError: a shard is missing, or two files are of the same one.
    """
    found = {part: _read_beside(part) or {} for part in parts}
    if not all("shard" in provenance for provenance in found.values()):
        return parts
    return order_parts((part, found[part]["shard"]) for part in parts)


def read_common(files: Mapping[Path, JsonStream], expected: dict[str, Any]) -> dict[str, Any]:
    """Return the common provenance of the predictions of all shards.

    If a shard does not tell it, there is no checkpoint, and `predictions` has `path` and `sha256` of each file.

    Args:
        files: the files of predictions, opened.
        expected: the provenance of the evaluation that joins them, without a checkpoint.

    Raises:
        UserError: the checkpoints differ, or a shard has another test set, protocol or configuration.
    """
    found = {file: provenance for file in files if (provenance := _read_beside(file)) is not None}
    for part, provenance in found.items():
        for key, what in SAME.items():
            if provenance.get(key) != expected[key]:
                raise UserError(
                    f"{part}: was made with another {what} than this evaluation has ({part.parent / FILE} says which); "
                    "evaluate all shards with the same settings"
                )
    checkpoints = [provenance["checkpoint"] for provenance in found.values()]
    for part, checkpoint in zip(found, checkpoints, strict=True):
        if checkpoint != checkpoints[0]:
            first = next(iter(found))
            raise UserError(f"{part}: has another checkpoint than {first}; evaluate all shards with the same one")
    if len(found) < len(files):
        return expected | _name(files)
    # All shards have the same settings, and so the same weights.
    return expected | _weights_of(next(iter(found.values())))


def read_of_file(file: Path, stream: JsonStream, expected: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance of one file of predictions: as `read_common` if it is the only shard.

    If `vclr evaluate` wrote it, the checkpoint is the one that metrics.json beside it tells. Unless that evaluation
    was the same one, `predictions` names the file as well.
    """
    if _read_beside(file) is not None:
        return read_common({file: stream}, expected)
    evaluated = _read_evaluated(file)
    is_same = "predictions" not in evaluated and all(evaluated.get(key) == expected[key] for key in SAME)
    return expected | _weights_of(evaluated) | ({} if is_same else _name({file: stream}))


def _name(files: Mapping[Path, JsonStream]) -> dict[str, Any]:
    return {"predictions": [{"path": str(path), "sha256": stream.sha256()} for path, stream in files.items()]}


def _weights_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {key: provenance.get(key) for key in ("checkpoint", "weights")}


def _read_beside(predictions: Path) -> dict[str, Any] | None:
    """Return what `write_beside` wrote; None if it wrote nothing."""
    path = predictions.parent / FILE
    if predictions.name != PREDICTIONS or not path.is_file():
        return None
    provenance = read_json(path)
    if not isinstance(provenance, dict) or "checkpoint" not in provenance:
        raise UserError(f"{path}: was not written by `vclr evaluate --shard`; evaluate it again")
    return provenance


def _read_evaluated(predictions: Path) -> dict[str, Any]:
    """Return the provenance of the evaluation that wrote a file of predictions, which metrics.json has; or nothing."""
    path = predictions.with_name("metrics.json")
    if predictions.name != PREDICTIONS or not path.is_file():
        return {}
    if predictions.stat().st_mtime_ns > path.stat().st_mtime_ns:  # the metrics are of other predictions
        log.warning("%s: is newer than %s, so the checkpoint is not taken from there", predictions, path)
        return {}
    metrics = read_json(path)
    provenance = metrics.get("provenance") if isinstance(metrics, dict) else None
    return provenance if isinstance(provenance, dict) else {}
