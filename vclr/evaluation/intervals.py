"""Error bars of an evaluation: how far its metrics vary if the images of the test set are drawn again.

The bootstrap draws as many images as the test set has, with replacement, and computes the metrics of each draw from the
matches that a `Tally` keeps. Which images are drawn depends only on their number, so the draws of two evaluations on
one test set have the same images, and their differences are paired.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from vclr.catalog.metrics import AP_THRESHOLDS, SHOWN_METRICS, metric_names, recall_sizes
from vclr.errors import UserError
from vclr.evaluation.tally import RANGES, RECALLS, THRESHOLDS, UNMATCHED, Tally
from vclr.files import atomic_path

DRAWS = 1000
DRAWS_FILE = "bootstrap.npz"
LEVEL = 95  # percent of the draws that an interval holds
BATCH, MAX_BATCH = 50_000, 200  # images, and draws, that are counted at once: more need more memory

Draws = dict[str, np.ndarray]  # (d,) each metric in percent, draw by draw; NaN without ground truth
Interval = tuple[float, float]


def draw_metrics(tallies: Mapping[tuple[str, str], Tally], num_objects: Mapping[str, np.ndarray]) -> dict[str, Draws]:
    """Return the metrics of each draw, without F1.

    If an image is drawn several times, its detections follow each other in the order of equal scores.

    Args:
        tallies: the matches, per group and kind.
        num_objects: (i, a) number of objects per image and size range, per group.

    Returns:
        For each group the metrics of `metric_names` for each kind, draw by draw.
    """
    drawn: dict[tuple[str, str], list[np.ndarray]] = {key: [] for key in tallies}
    sources = {key: _Source(tally, num_objects[key[0]]) for key, tally in tallies.items()}
    for weights in draw_images(len(next(iter(num_objects.values())))):
        for key, source in sources.items():
            drawn[key].append(source.draw(weights))
    metrics: dict[str, Draws] = {group: {} for group, _ in tallies}
    for (group, kind), parts in drawn.items():
        names = metric_names(kind, tallies[group, kind].max_dets)
        metrics[group] |= dict(zip(names, np.concatenate(parts, axis=1), strict=True))
    return metrics


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
        UserError: the file is damaged.
    """
    draws: dict[str, Draws] = {}
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            for key in file.files:
                group, _, name = key.rpartition("/")
                draws.setdefault(group, {})[name] = file[key].astype(float)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path}: is not a file of bootstrap draws; evaluate again") from None
    if any(values.shape != (DRAWS,) for metrics in draws.values() for values in metrics.values()):
        raise UserError(f"{path}: does not have {DRAWS} draws of each metric; evaluate again")
    return draws


class _Source:
    """What draws of one tally are made from."""

    def __init__(self, tally: Tally, num_objects: np.ndarray) -> None:
        self._num_objects, self._max_dets = num_objects.astype(float), tally.max_dets
        self._counts = np.zeros((len(num_objects), len(tally.max_dets), len(RANGES)))
        for image, counts in tally.counts.items():
            self._counts[image] = counts
        order, areas = tally.order(), range(len(RANGES)) if tally.images else ()
        images = tally.sorted_images(order)
        self._ranked = [_Ranked(images, tally.sorted_flags(area, order), len(num_objects)) for area in areas]

    def draw(self, weights: np.ndarray) -> np.ndarray:
        """Return the metrics (n, b), named by `metric_names`, of draws with these weights (i, b) of the images."""
        as_float = weights.T.astype(float)
        num_objects = as_float @ self._num_objects
        with np.errstate(divide="ignore", invalid="ignore"):
            counts = as_float @ self._counts.reshape(len(weights), -1)
            recall = counts.reshape(len(as_float), -1, len(RANGES)) / len(THRESHOLDS) / num_objects[:, None]
            found = [ranked.draw(weights, num_objects[:, area]) for area, ranked in enumerate(self._ranked)]
        precision = np.stack(found, axis=-1) if found else np.zeros((len(as_float), len(THRESHOLDS), len(RANGES)))
        precision[:, :, :] = np.where(num_objects[:, None] > 0, precision, np.nan)
        alone = np.searchsorted(THRESHOLDS, list(AP_THRESHOLDS.values()))
        means = precision.mean(axis=1)
        values = [means[:, 0], *precision[:, alone, 0].T, *means[:, 1:].T]
        for number, count in enumerate(self._max_dets):
            values += [*recall[:, number, : len(recall_sizes(count))].T]
        return 100 * np.stack(values)


class _Ranked:
    """The detections of all images in a size range, best first.

    Most of them are false at every threshold. Precision is looked up only at the others, so the sum of the false ones
    in between is all that a draw needs of them, and it serves all thresholds.
    """

    def __init__(self, images: np.ndarray, flags: np.ndarray, num_images: int) -> None:
        is_false = (flags == UNMATCHED[:, None]).all(axis=0)
        places = np.flatnonzero(flags.any(axis=0) & ~is_false)
        false = np.flatnonzero(is_false)
        before = np.searchsorted(places, false)
        false, before = false[before < len(places)], before[before < len(places)]
        entries = np.ones(len(false), np.int32), (before, images[false])
        self._false_between = csr_array(entries, shape=(len(places), num_images))
        self._images = images[places]
        bits = np.unpackbits(flags[:, places], axis=0).astype(bool)
        is_true, is_false = bits[: len(THRESHOLDS)], bits[len(THRESHOLDS) : 2 * len(THRESHOLDS)]
        self._levels = [_Level(*level, self._images) for level in zip(is_true, is_false, strict=True)]

    def draw(self, weights: np.ndarray, num_objects: np.ndarray) -> np.ndarray:
        """Return the average precision (b, t) at each threshold of draws with these weights (i, b)."""
        own = np.ascontiguousarray(weights[self._images].T)
        found = np.ascontiguousarray((self._false_between @ weights).T)
        found += own
        np.cumsum(found, axis=1, out=found)
        needed = _needed(num_objects)
        by_image = np.ascontiguousarray(weights.T)
        return np.stack([level.draw(by_image, found, needed) for level in self._levels], axis=1)


class _Level:
    """The detections of a size range at a threshold.

    The repetitions of a true detection follow each other, so precision is highest at the last one, and the recall that
    it reaches there is the only one that has to be looked at.
    """

    def __init__(self, is_true: np.ndarray, is_false: np.ndarray, images: np.ndarray) -> None:
        self._places, self._images = np.flatnonzero(is_true), images[is_true]
        neither = np.flatnonzero(~is_true & ~is_false)
        self._neither = images[neither]
        self._num_before = np.searchsorted(neither, self._places)

    def draw(self, weights: np.ndarray, found: np.ndarray, needed: np.ndarray) -> np.ndarray:
        """Return the average precision (b,) of draws.

        Args:
            weights: (b, i) how often each image is in a draw.
            found: (b, k) number of detections up to each one, including those that are neither true nor false.
            needed: (b, r) number of true detections at each recall.
        """
        true = weights.take(self._images, axis=1).cumsum(axis=1, dtype=np.int32)
        counted = found.take(self._places, axis=1)
        if self._neither.size:
            left_out = weights.take(self._neither, axis=1).cumsum(axis=1, dtype=np.int32)
            counted -= np.pad(left_out, ((0, 0), (1, 0))).take(self._num_before, axis=1)
        precision = np.zeros((len(true), len(self._places) + 1))  # the last column is for recall that is not reached
        np.divide(true, np.maximum(counted, 1, out=counted), out=precision[:, :-1])
        return _average(precision, true, needed)


def _needed(num_objects: np.ndarray) -> np.ndarray:
    """Return (b, r) the smallest numbers of true detections whose recall is at least each of `RECALLS`."""
    total = num_objects[:, None]
    needed = np.ceil(RECALLS * total)
    needed -= (needed - 1) / total >= RECALLS  # as rounding has it
    return (needed + (needed / total < RECALLS)).astype(np.int32)


def _average(precision: np.ndarray, true: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Return the mean (b,) of the best precision (b, k + 1) from each recall on.

    All rows are looked up at once, one after the other. Each begins at recall 0, which no detection is needed for, so
    the last stretch of a row ends where the next row begins.
    """
    rows = np.arange(len(true))[:, None]
    apart = rows * (max(true.max(initial=0), needed.max()) + 1)
    ranks = np.searchsorted((true + apart).ravel(), needed + apart) - rows * true.shape[1]
    starts = (ranks + rows * precision.shape[1]).ravel()
    # If a rank occurs several times, `reduceat` takes the stretch up to the next one only at the last of them.
    best = np.maximum.reduceat(precision.ravel(), starts).reshape(ranks.shape)
    return np.maximum.accumulate(best[:, ::-1], axis=1).mean(axis=1)
