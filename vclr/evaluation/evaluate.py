"""Evaluation on the test set: predictions of a shard, and metrics for each group of classes."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import vclr
from vclr.catalog.metrics import BOUNDARY, MAX_PREDICTIONS
from vclr.coco.annotations import Json
from vclr.coco.prediction_checks import PredictionChecks
from vclr.coco.predictions import PredictionsFile, read_predictions
from vclr.coco.results import ResultsPart, join_parts, lock_part, writing_results
from vclr.config import Config
from vclr.data.data_sets import evaluated_groups, may_have_masks, test_set, test_views_key
from vclr.data.loader import list_test_batches
from vclr.data.readiness import check_groups
from vclr.data.samples import TestSamples
from vclr.errors import UsageError, UserError
from vclr.evaluation import provenance
from vclr.evaluation.inference import predict_data_set
from vclr.evaluation.intervals import DRAWS_FILE, describe_intervals, write_draws
from vclr.evaluation.scorer import Scorer
from vclr.files import find_partials, leaving_no_empty, naming_file, read_json, write_json
from vclr.models.detector import Detector
from vclr.outputs import is_same_file
from vclr.shards import Shard

log = logging.getLogger("vclr.evaluation")

Receive = Callable[[int | str, list[Json]], None]


def evaluate_shard(
    model: Detector,
    config: Config,
    output: Path,
    shard: Shard,
    quiet: bool = False,
    checkpoint: dict[str, Any] | None = None,
) -> Path:
    """Write `predictions.json` of a shard of the test set into `output`, for `evaluate_parts`, and return its path.

    `provenance.json` beside it says what was evaluated.

    Args:
        model: the detector.
        config: names the test set, by `evaluation.protocol`.
        output: the folder to write.
        shard: the part of the test set.
        quiet: show no progress.
        checkpoint: what `provenance.describe_checkpoint` says about the model's weights; None for an untrained model.
    """
    samples, path = open_test_set(config), output / "predictions.json"
    if config.evaluation.boundary:
        make_scorer(config, samples)  # refuses a test set without masks now, not only when the shards are joined
    is_new = make_folder(output, [part_path(output, shard)])
    with leaving_no_empty(output, is_new):
        source = provenance.describe(config, checkpoint)
        part = predict_part(model, config, samples, output, source, quiet, shard)
        join_parts([part], path)
        provenance.write_beside(path, source, shard)
        part.unlink()
    return path


def make_folder(output: Path, parts: list[Path]) -> bool:
    """Make the folder of an evaluation, and remove what others, stopped before, have left there.

    Args:
        output: the folder.
        parts: the parts of this evaluation, which stay.

    Returns:
        Whether the folder is new.

    Raises:
        UserError: another process writes results there.
    """
    is_new = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    for partial in find_partials(output, "predictions.json"):
        if partial not in parts:
            with lock_part(partial):
                partial.unlink()
    return is_new


def predict_part(
    model: Detector,
    config: Config,
    samples: TestSamples,
    output: Path,
    source: Json,
    quiet: bool,
    shard: Shard,
    *receivers: Receive,
) -> Path:
    """Write the predictions of a shard to a part for `join_parts`, and return its path.

    If the same evaluation was stopped before, even by a kill, it goes on after the last whole batch.

    Args:
        model: the detector.
        config: names the test set.
        samples: the test set.
        output: the folder of the part.
        source: the evaluation's `provenance`, which identifies it.
        quiet: show no progress.
        shard: the part of the test set.
        receivers: also get the results for each image, those of before included.
    """
    path = part_path(output, shard)
    identity = json.dumps({**source, "vclr": vclr.__version__, "shard": str(shard)}, sort_keys=True)
    with naming_file(path), ResultsPart(path, identity, config.dataloader.test.batch_size) as part:
        if part.num_images:
            log.info("going on after %d images that were evaluated before", part.num_images)
        places = chain.from_iterable(list_test_batches(config, samples, shard))
        for place, results in zip(places, part.read(), strict=False):
            for one in receivers:
                one(samples.coco.images[place]["id"], results)
        predict_data_set(
            model, config, samples, sending(*receivers, part.write), quiet, shard=shard, num_done=part.num_images
        )
    return path


def part_path(output: Path, shard: Shard) -> Path:
    """Return the path of a shard's predictions until all shards are joined."""
    return output / f".predictions.json.{shard.number}of{shard.count}.partial"


def read_finished(config: Config, output: Path, checkpoint: dict[str, Any] | None) -> Json | None:
    """Return what the same evaluation of a checkpoint has written to `metrics.json`, if the other files are its own."""
    path = output / "metrics.json"
    files = [output / "predictions.json", output / DRAWS_FILE]
    if not checkpoint or not all(file.is_file() for file in (*files, path)):
        return None
    if any(file.stat().st_mtime_ns > path.stat().st_mtime_ns for file in files):  # another evaluation was stopped there
        return None
    metrics: Json = read_json(path)
    return metrics if metrics.get("provenance") == provenance.describe(config, checkpoint) else None


def evaluate_parts(parts: list[Path], config: Config, output: Path) -> dict[str, Any]:
    """Evaluate the predictions of all shards, and write and return what the evaluation of the whole set would have.

    Raises:
        UserError: a file holds no COCO results, two files hold those of one image, a shard is missing or given twice,
            or the evaluations differ.
    """
    parts, samples = provenance.order_shards(parts), open_test_set(config)
    scorer, annotations = make_scorer(config, samples), test_set(config).annotations
    with ExitStack() as stack:
        files = [stack.enter_context(opened) for opened in _open_parts(parts, samples, annotations)]
        streams = {part: file.stream for part, file in zip(parts, files, strict=True)}
        source = provenance.read_common(streams, provenance.describe(config, None))
        scorer.count_all(chain.from_iterable(files))
        _write_predictions(files, output / "predictions.json")
    return write_metrics(config, samples, scorer, output, source)


def evaluate_file(predictions: Path, config: Config, output: Path) -> dict[str, Any]:
    """Evaluate a file: COCO results, or object proposals for the images of the test set.

    Write and return `metrics.json`, see `write_metrics`. `predictions.json` is then of the same evaluation: it has the
    COCO results. For object proposals, which have image ids of their own, there is none.

    Raises:
        UserError: the file is not valid, or is that of a shard, and there are others.
    """
    provenance.order_shards([predictions])
    samples, path = open_test_set(config), output / "predictions.json"
    with read_predictions(predictions, samples.coco.images, test_set(config).annotations) as found:
        scorer = make_scorer(config, samples)
        if missing := len(samples) - len(found.entries):
            log.warning("%s: %d of %d images have no predictions", predictions, missing, len(samples))
        source = provenance.read_of_file(predictions, found.stream, provenance.describe(config, None))
        scorer.count_all(found)
        if not is_same_file(predictions, path):
            if found.stream.head is None:
                _write_predictions([found], path)
            else:
                path.unlink(missing_ok=True)
    return write_metrics(config, samples, scorer, output, source)


def _write_predictions(files: list[PredictionsFile], path: Path) -> None:
    """Write the COCO results of several files to one."""
    with writing_results(path) as write:
        for file in files:
            for _, _, result in file.stream:
                write(result["image_id"], [{"image_id": result["image_id"], **result}])  # as `vclr` begins entries


def open_test_set(config: Config, reads_photos: bool = True) -> TestSamples:
    """Open the test set, and check early that it has all classes of the groups.

    With `reads_photos`, warn if it also has views, which no evaluation reads.
    """
    samples = TestSamples(config)
    check_groups(config, samples.coco.categories)
    if reads_photos and test_set(config).views:
        log.warning("%s: evaluation reads photos, not views; `vclr probe` reads both", test_views_key(config))
    return samples


def make_scorer(config: Config, samples: TestSamples, only_headline: bool = False) -> Scorer:
    """Return a scorer of the headline, and of each group and `evaluation.boundary` unless it is `only_headline`.

    Raises:
        UsageError: `evaluation.boundary` is set and no masks are evaluated.
    """
    groups, headline, evaluation = evaluated_groups(config), headline_group(config), config.evaluation
    counted = {headline: groups.get(headline)} | ({} if only_headline else groups)
    boundary = evaluation.boundary and not only_headline
    if boundary and not may_have_masks(config):
        raise UsageError("evaluation.boundary: this protocol or training is of boxes, without masks; leave it out")
    scorer = Scorer(samples.coco, counted, evaluation.max_dets, may_have_masks(config), boundary=boundary)
    if boundary and not any(kind == BOUNDARY for _, kind in scorer.tallies):
        raise UsageError(f"evaluation.boundary: {test_set(config).annotations} has no masks; leave it out")
    return scorer


def headline_group(config: Config) -> str:
    """Return the group whose metrics are the headline; "" stands for all classes."""
    protocol = config.evaluation.protocol
    return protocol if protocol in evaluated_groups(config) else ""


def sending(*receivers: Receive) -> Receive:
    """Return a function for `predict_data_set` that sends the results for an image to several receivers.

    It raises a UserError if the detector finds something that is not a number.
    """

    def send(image_id: int | str, results: list[Json]) -> None:
        if not all(math.isfinite(number) for result in results for number in (result["score"], *result["bbox"])):
            raise UserError(f"predictions for image {image_id!r}: a score or a box is not a finite number")
        for receive in receivers:
            receive(image_id, results)

    return send


def write_metrics(
    config: Config, samples: TestSamples, scorer: Scorer, output: Path, source: dict[str, Any]
) -> dict[str, Any]:
    """Write `metrics.json` and `bootstrap.npz` from the matches of a scorer, and return the content of `metrics.json`.

    It holds the metrics of `evaluation.protocol` (of all classes unless it is one of `evaluation.groups`), `groups`
    with those of each group, `num_images`, and `provenance` (see `vclr.evaluation.provenance`). Beside the metrics,
    `max_predictions` is the largest number of predictions for an image, and `intervals` holds the 95 % interval of each
    metric over images; `bootstrap.npz` holds the draws that differences need. The folder is no longer one of a shard.
    """
    draws, most = scorer.draw(), scorer.max_predictions()
    scores = {
        group: {**metrics, MAX_PREDICTIONS: most[group], "intervals": describe_intervals(draws[group])}
        for group, metrics in scorer.metrics().items()
    }
    metrics = {
        **scores[headline_group(config)],
        "groups": {group: scores[group] for group in evaluated_groups(config)},
        "num_images": len(samples),
        "provenance": source,
    }
    write_draws(draws, output / DRAWS_FILE)
    write_json(output / "metrics.json", metrics, indent=1)
    (output / provenance.FILE).unlink(missing_ok=True)
    return metrics


def _open_parts(parts: list[Path], samples: TestSamples, annotations: str) -> Iterator[PredictionsFile]:
    """Open and check the results of several files."""
    checks = PredictionChecks(samples.coco.images)
    found_in: dict[int | str, Path] = {}
    for part in parts:
        file = PredictionsFile(part, samples.coco.images, annotations, checks)
        yield file
        if file.stream.head is not None:
            raise UserError(f"{part}: is not a list of COCO results")
        for image_id in file.entries:
            if image_id in found_in:
                raise UserError(f"{part}: holds predictions for image {image_id!r}, and so does {found_in[image_id]}")
            found_in[image_id] = part
    checks.finish(f"the {len(parts)} files of predictions")
    if missing := len(samples) - len(found_in):  # nothing was found in them, or a shard was forgotten
        log.warning("%d of %d images have no predictions: are these all the shards?", missing, len(samples))
