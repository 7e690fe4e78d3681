"""Evaluation of a detector on the test set: predictions, and metrics for each group of classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vclr.coco.predictions import check_predictions, read_predictions
from vclr.config import Config
from vclr.data.data_sets import evaluated_groups, test_set
from vclr.data.readiness import check_groups
from vclr.data.samples import TestSamples
from vclr.errors import UserError
from vclr.evaluation import provenance
from vclr.evaluation.inference import predict_data_set
from vclr.evaluation.recall import Metrics, score_groups
from vclr.files import read_json, write_json
from vclr.models.detector import Detector
from vclr.shards import Shard

log = logging.getLogger("vclr.evaluation")

Found = list[dict[str, Any]]


def evaluate(
    model: Detector,
    config: Config,
    output: Path,
    quiet: bool = False,
    checkpoint: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate and write `metrics.json` and `predictions.json` into `output`.

    Args:
        model: the detector.
        config: names the test set, by `evaluation.protocol`.
        output: the folder to write.
        quiet: show no progress.
        checkpoint: what `provenance.describe_checkpoint` says about the model's weights; None for an untrained model.

    Returns:
        The content of metrics.json: the metrics of `evaluation.protocol` (of all classes unless it is one of
        `evaluation.groups`), `groups` with those of each group, `num_images`, and `provenance` (see
        `vclr.evaluation.provenance`).
    """
    samples = _open_test_set(config)
    predictions = predict_data_set(model, config, samples, quiet)
    write_json(output / "predictions.json", predictions)
    return _write_metrics(
        config, samples, _check(predictions, samples), output, provenance.describe(config, checkpoint)
    )


def evaluate_shard(
    model: Detector,
    config: Config,
    output: Path,
    shard: Shard,
    quiet: bool = False,
    checkpoint: dict[str, Any] | None = None,
) -> Path:
    """Write `predictions.json` of a shard of the test set into `output`, for `evaluate_parts`, and return its path.

    `provenance.json` beside it says what was evaluated; `checkpoint` as in `evaluate`.
    """
    samples = _open_test_set(config)
    predictions = predict_data_set(model, config, samples, quiet, shard=shard)
    provenance.write_beside(output / "predictions.json", provenance.describe(config, checkpoint))
    write_json(output / "predictions.json", predictions)
    return output / "predictions.json"


def evaluate_parts(parts: list[Path], config: Config, output: Path) -> dict[str, Any]:
    """Evaluate the predictions of all shards, and write and return what `evaluate` would have.

    Raises:
        UserError: a file holds no COCO results, two files hold those of one image, or the evaluations differ.
    """
    samples = _open_test_set(config)
    predictions = _join(parts, samples)
    source = provenance.read_common(parts, provenance.describe(config, None))
    metrics = _write_metrics(config, samples, _check(predictions, samples), output, source)
    write_json(output / "predictions.json", predictions)
    return metrics


def evaluate_file(predictions: Path, config: Config, output: Path) -> dict[str, Any]:
    """Evaluate a file: COCO results, or object proposals for the images of the test set.

    Write and return `metrics.json` as `evaluate` does.
    """
    samples = _open_test_set(config)
    found = read_predictions(predictions, samples.coco["images"], test_set(config).annotations)
    return _write_metrics(config, samples, found, output, provenance.describe(config, None))


def evaluate_model(model: Detector, config: Config, between_batches: Callable[[], None] | None = None) -> Metrics:
    """Return the headline metrics of a detector during a training. `between_batches` may end it by an exception."""
    samples = _open_test_set(config)
    predictions = predict_data_set(model, config, samples, quiet=True, between_batches=between_batches)
    headline = evaluated_groups(config).get(config.evaluation.protocol)
    return _score(config, samples, _check(predictions, samples), {"": headline})[""]


def _open_test_set(config: Config) -> TestSamples:
    """Open the test set, and check early that it has all classes of the groups."""
    samples = TestSamples(config)
    check_groups(config, samples.coco["categories"])
    return samples


def _join(parts: list[Path], samples: TestSamples) -> list[dict[str, Any]]:
    """Read and join the results of several files."""
    predictions: list[dict[str, Any]] = []
    found_in: dict[str, Path] = {}
    for part in parts:
        entries = read_json(part)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{part}: is not a list of COCO results")
        for image_id in dict.fromkeys(repr(entry.get("image_id")) for entry in entries):
            if image_id in found_in:
                raise UserError(f"{part}: holds predictions for image {image_id}, and so does {found_in[image_id]}")
            found_in[image_id] = part
        predictions += entries
    if missing := len(samples) - len(found_in):  # nothing was found in them, or a shard was forgotten
        log.warning("%d of %d images have no predictions: are these all the shards?", missing, len(samples))
    return predictions


def _check(predictions: Found, samples: TestSamples) -> Found:
    return check_predictions(predictions, samples.coco["images"], "predictions")


def _write_metrics(
    config: Config, samples: TestSamples, found: Found, output: Path, source: dict[str, Any]
) -> dict[str, Any]:
    """Score predictions that are checked already, and write `metrics.json`."""
    groups, protocol = evaluated_groups(config), config.evaluation.protocol
    headline = protocol if protocol in groups else ""
    scores = _score(config, samples, found, {**groups, headline: groups.get(headline)})
    metrics = {
        **scores[headline],
        "groups": {group: scores[group] for group in groups},
        "num_images": len(samples),
        "provenance": source,
    }
    write_json(output / "metrics.json", metrics, indent=1)
    return metrics


def _score(
    config: Config, samples: TestSamples, found: Found, groups: Mapping[str, list[str] | None]
) -> dict[str, Metrics]:
    has_masks, max_dets = config.dataloader.train.mapper.mask_on, tuple(config.evaluation.max_dets)
    return score_groups(samples.coco, found, groups, max_dets, has_masks)
