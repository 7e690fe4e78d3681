"""Error bars of an evaluation: how far its metrics vary if the images of the test set are drawn again.

The bootstrap draws as many images as the test set has, with replacement, and computes the metrics of each draw from the
matches that a `Tally` keeps. Which images are drawn depends only on their number, so the draws of two evaluations on
one test set have the same images, and their differences are paired.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from vclr.catalog.metrics import AP_THRESHOLDS, SHOWN_METRICS, f1_names, metric_names, recall_sizes
from vclr.errors import UserError
from vclr.evaluation.tally import RANGES, RECALLS, THRESHOLDS, UNMATCHED, Tally
from vclr.files import atomic_path
from vclr.processes import count_cpus

DRAWS = 1000
DRAWS_FILE = "bootstrap.npz"
LEVEL = 95  # percent of the draws that an interval holds
# More of these need more memory.
BATCH = 50_000  # images times draws that a thread counts at once
MAX_BATCH = 50  # draws that a thread counts at once
MAX_THREADS = 8

Key = tuple[str, str]  # group, and one of KINDS
Draws = dict[str, np.ndarray]  # (d,) each metric in percent, draw by draw; NaN without ground truth
Interval = tuple[float, float]


def draw_metrics(tallies: Mapping[Key, Tally], num_objects: Mapping[str, np.ndarray]) -> dict[str, Draws]:
    """Return the metrics of each draw.

    If an image is drawn several times, its detections follow each other in the order of equal scores.

    Args:
        tallies: the matches, per group and kind.
        num_objects: (i, a) number of objects per image and size range, per group.

    Returns:
        For each group the metrics of `metric_names` and `f1_names` for each kind, draw by draw.
    """
    metrics: dict[str, Draws] = {group: {} for group, _ in tallies}
    batches = list(_draw_batches(tallies, num_objects))
    for (group, kind), tally in tallies.items():
        names = [*metric_names(kind, tally.max_dets), *f1_names(kind)]
        values = np.concatenate([batch[group, kind] for batch in batches], axis=1)
        metrics[group] |= dict(zip(names, values, strict=True))
    return metrics


def draw_averages(tallies: Mapping[Key, Tally], num_objects: Mapping[str, np.ndarray]) -> Draws:
    """Return the metrics of each draw as averages over the groups that then have objects, without F1.

    The arguments are those of `draw_metrics`.
    """
    metrics: Draws = {}
    totals: dict[str, list[np.ndarray]] = {kind: [] for _, kind in tallies}
    for batch in _draw_batches(tallies, num_objects):
        for kind, parts in totals.items():
            values = np.stack([values for key, values in batch.items() if key[1] == kind])
            count = (~np.isnan(values)).sum(axis=0)
            parts.append(np.where(count, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan))
    for kind, parts in totals.items():
        names = metric_names(kind, next(iter(tallies.values())).max_dets)  # F1 follows them
        metrics |= dict(zip(names, np.concatenate(parts, axis=1)[: len(names)], strict=True))
    return metrics


def _draw_batches(
    tallies: Mapping[Key, Tally], num_objects: Mapping[str, np.ndarray]
) -> Iterator[dict[Key, np.ndarray]]:
    """Yield the metrics (n, b) of `_Source.draw` for a batch of draws at a time."""
    sources = {key: _Source(tally, num_objects[key[0]]) for key, tally in tallies.items()}
    num_threads = min(count_cpus(), MAX_THREADS)  # nearly all of the time is spent in numpy, which runs in parallel
    with ThreadPoolExecutor(num_threads) as threads:
        images = draw_images(len(next(iter(num_objects.values()))))
        while batches := list(islice(images, num_threads)):  # no more are held in memory
            found = [threads.map(source.draw, batches) for source in sources.values()]
            yield from (dict(zip(sources, values, strict=True)) for values in zip(*found, strict=True))


def draw_images(num_images: int) -> Iterator[np.ndarray]:
    """Yield (i, b) how often each image is in each draw, for a batch of draws at a time."""
    generator = np.random.default_rng(0)
    size = min(max(BATCH // max(num_images, 1), 10), MAX_BATCH)
    for start in range(0, DRAWS, size):
        drawn = [generator.integers(max(num_images, 1), size=num_images) for _ in range(min(size, DRAWS - start))]
        yield np.stack([np.bincount(images, minlength=num_images) for images in drawn], axis=1).astype(np.int32)


def interval(draws: np.ndarray) -> Interval | None:
    """Return the percentile interval of some draws; None if none of them has ground truth."""
    present = draws[~np.isnan(draws)]
    if not present.size:
        return None
    low, high = np.percentile(present, [50 - LEVEL / 2, 50 + LEVEL / 2])
    return float(low), float(high)


def describe_intervals(draws: Draws) -> dict[str, list[float] | None]:
    """Return `[low, high]` of each metric, as json holds it."""
    found = {name: interval(values) for name, values in draws.items()}
    return {name: list(ends) if ends else None for name, ends in found.items()}


def write_draws(draws: Mapping[str, Draws], path: Path) -> None:
    """Write the draws of the metrics that experiments are compared by, for `read_draws`."""
    chosen = {
        f"{group}/{name}": values.astype(np.float32)
        for group, metrics in draws.items()
        for name, values in metrics.items()
        if name in SHOWN_METRICS
    }
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, **chosen)  # type: ignore[arg-type]


def read_draws(path: Path) -> dict[str, Draws]:
    """Return what `write_draws` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    draws: dict[str, Draws] = {}
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            for key in file.files:
                group, _, name = key.rpartition("/")
                draws.setdefault(group, {})[name] = file[key].astype(float)
    except FileNotFoundError:
        raise UserError(f"{path}: does not exist; evaluate again") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path}: is not a file of bootstrap draws; evaluate again") from None
    if any(values.shape != (DRAWS,) for metrics in draws.values() for values in metrics.values()):
        raise UserError(f"{path}: does not have {DRAWS} draws of each metric; evaluate again")
    return draws


class _Source:
    """What draws of one tally are made from."""

    def __init__(self, tally: Tally, num_objects: np.ndarray) -> None:
        self._num_objects, self._max_dets = num_objects.astype(float), tally.max_dets
        self._counted = np.array(list(tally.counts), int)
        shape = len(tally.counts), len(tally.max_dets) * len(RANGES)
        self._counts = np.array(list(tally.counts.values()), float).reshape(shape)
        order, areas = tally.order(), range(len(RANGES)) if tally.images else ()
        images, scores = tally.sorted_images(order), tally.sorted_scores(order)
        self._ranked = [_Ranked(images, scores, tally.sorted_flags(area, order), len(num_objects)) for area in areas]

    def draw(self, weights: np.ndarray) -> np.ndarray:
        """Return the metrics (n, b), named by `metric_names` and `f1_names`, of draws with these weights (i, b)."""
        by_draw = np.ascontiguousarray(weights.T)
        as_float = by_draw.astype(float)
        num_objects = as_float @ self._num_objects
        shape = len(by_draw), len(THRESHOLDS), len(RANGES)
        precision, f1, threshold = np.zeros(shape), np.zeros(len(by_draw)), np.full(len(by_draw), np.nan)
        for area, ranked in enumerate(self._ranked):
            found = ranked.count(weights)
            precision[..., area] = ranked.average_precision(by_draw, found, num_objects[:, area])
            if not area:
                f1, threshold = ranked.best_f1(by_draw, found, num_objects[:, area])
        is_missing = num_objects == 0
        precision[np.broadcast_to(is_missing[:, None], shape)] = np.nan
        f1[is_missing[:, 0]] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            counts = as_float[:, self._counted] @ self._counts
            recall = counts.reshape(len(by_draw), -1, len(RANGES)) / len(THRESHOLDS) / num_objects[:, None]
        alone = np.searchsorted(THRESHOLDS, list(AP_THRESHOLDS.values()))
        means = precision.mean(axis=1)
        values = [means[:, 0], *precision[:, alone, 0].T, *means[:, 1:].T]
        for number, count in enumerate(self._max_dets):
            values += [*recall[:, number, : len(recall_sizes(count))].T]
        return np.stack([*(100 * value for value in (*values, f1)), threshold])


class _Ranked:
    """The detections of all images in a size range, best first.

    Most of them are false at every threshold. Only the others are looked up, and the last one of each score that a
    true one has, so the sum of the false ones in between is all that a draw needs of them, for all thresholds.
    """

    def __init__(self, images: np.ndarray, scores: np.ndarray, flags: np.ndarray, num_images: int) -> None:
        is_true = np.unpackbits(flags, axis=0, count=1).astype(bool)[0]  # at the lowest threshold
        with_true = np.unique(np.searchsorted(-scores, -scores[is_true], side="right")) - 1
        is_false = (flags == UNMATCHED[:, None]).all(axis=0)
        is_place = flags.any(axis=0) & ~is_false
        is_place[with_true] = True
        places, false = np.flatnonzero(is_place), np.flatnonzero(is_false & ~is_place)
        before = np.searchsorted(places, false)
        false, before = false[before < len(places)], before[before < len(places)]
        entries = np.ones(len(false), np.int32), (before, images[false])
        self._false_between = csr_array(entries, shape=(len(places), num_images))
        self._images = images[places]
        bits = np.unpackbits(flags[:, places], axis=0).astype(bool)
        levels = list(zip(bits[: len(THRESHOLDS)], bits[len(THRESHOLDS) : 2 * len(THRESHOLDS)], strict=True))
        self._levels = [_Level(*level, self._images) for level in levels]
        self._ends = _Level(*levels[0], self._images, np.searchsorted(places, with_true))
        self._end_scores = scores[with_true]

    def count(self, weights: np.ndarray) -> np.ndarray:
        """Return the number (b, k) of detections up to each place in draws with these weights (i, b) of the images."""
        found = np.ascontiguousarray((self._false_between @ weights).T)
        found += weights[self._images].T
        return np.cumsum(found, axis=1, out=found)

    def average_precision(self, by_draw: np.ndarray, found: np.ndarray, num_objects: np.ndarray) -> np.ndarray:
        """Return the average precision (b, t) at each threshold.

        Args:
            by_draw: (b, i) how often each image is in a draw.
            found: what `count` returned for them.
            num_objects: (b,) number of objects.
        """
        needed = _needed(num_objects)
        return np.stack([_average(*level.count(by_draw, found), needed) for level in self._levels], axis=1)

    def best_f1(self, by_draw: np.ndarray, found: np.ndarray, num_objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best F1 (b,) at the lowest threshold and the lowest score (b,) that it keeps; NaN if F1 is 0.

        F1 only rises where something true is added, so the ends of the scores that a true detection has are enough.
        """
        true, counted = self._ends.count(by_draw, found)
        f1 = np.pad(2 * true / np.maximum(counted + num_objects[:, None], 1), ((0, 0), (0, 1)))
        best = f1.max(axis=1)
        return best, np.where(best > 0, np.append(self._end_scores, np.nan)[f1.argmax(axis=1)], np.nan)


class _Level:
    """The detections of a size range at a threshold, counted at some places: by default, at each true one.

    The repetitions of a true detection follow each other, so precision is highest at the last one, and the recall that
    it reaches there is the only one that has to be looked at.
    """

    def __init__(
        self, is_true: np.ndarray, is_false: np.ndarray, images: np.ndarray, places: np.ndarray | None = None
    ) -> None:
        self._true = images[is_true]
        self._places = np.flatnonzero(is_true) if places is None else places
        self._num_true = slice(1, None) if places is None else is_true.cumsum()[places]
        is_neither = ~is_true & ~is_false
        self._neither, self._num_neither = images[is_neither], is_neither.cumsum()[self._places]

    def count(self, by_draw: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers (b, p) of true detections, and of all that are true or false, up to each place.

        Args:
            by_draw: (b, i) how often each image is in a draw.
            found: (b, k) number of detections up to each one, including those that are neither true nor false.
        """
        counted = found.take(self._places, axis=1)
        if self._neither.size:
            counted -= _running(by_draw, self._neither).take(self._num_neither, axis=1)
        return _running(by_draw, self._true)[:, self._num_true], counted


def _running(by_draw: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return (b, n + 1) how often the first detections of (n,) these images are in each draw."""
    running = np.zeros((len(by_draw), len(images) + 1), np.int32)
    by_draw.take(images, axis=1).cumsum(axis=1, out=running[:, 1:])
    return running


def _needed(num_objects: np.ndarray) -> np.ndarray:
    """Return (b, r) the smallest numbers of true detections whose recall is at least each of `RECALLS`."""
    total = np.maximum(num_objects, 1)[:, None]  # without objects, there is no recall
    needed = np.ceil(RECALLS * total)
    needed -= (needed - 1) / total >= RECALLS  # as rounding has it
    return (needed + (needed / total < RECALLS)).astype(np.int32)


def _average(true: np.ndarray, counted: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Return the average precision (b,): the mean of the best precision from each recall on.

    All draws are looked up at once, one after the other. Each begins at recall 0, which no detection is needed for, so
    the last stretch of a draw ends where the next draw begins.

    Args:
        true: (b, k) number of true detections up to each true one.
        counted: (b, k) number of true and false ones up to there.
        needed: (b, r) number of true detections at each recall.
    """
    precision = np.zeros((len(true), true.shape[1] + 1))  # the last column is for recall that is not reached
    np.divide(true, np.maximum(counted, 1, out=counted), out=precision[:, :-1])
    rows = np.arange(len(true))[:, None]
    apart = rows * (max(true.max(initial=0), needed.max()) + 1)
    ranks = np.searchsorted((true + apart).ravel(), needed + apart) - rows * true.shape[1]
    starts = (ranks + rows * precision.shape[1]).ravel()
    # If a rank occurs several times, `reduceat` takes the stretch up to the next one only at the last of them.
    best = np.maximum.reduceat(precision.ravel(), starts).reshape(ranks.shape)
    return np.maximum.accumulate(best[:, ::-1], axis=1).mean(axis=1)
