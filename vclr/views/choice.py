"""Which views a training draws for student and teacher, and how often."""

from __future__ import annotations

from collections.abc import Iterator

from vclr.catalog.views import COMPUTED_VIEWS, NATURAL
from vclr.config import DataSetConfig, ViewsConfig
from vclr.errors import UsageError, nearest


def view_weights(config: ViewsConfig, data_set: DataSetConfig) -> dict[str, float]:
    """Return the student's views and their weights; by default the photos and all folders, equally."""
    weights = config.weights or dict.fromkeys([NATURAL, *data_set.views], 1.0)
    return {view: weight for view, weight in weights.items() if weight > 0}


def teacher_view_weights(config: ViewsConfig) -> dict[str, float]:
    """Return the teacher's views and their weights; by default the photos alone."""
    weights = config.teacher_weights or {NATURAL: 1.0}
    return {view: weight for view, weight in weights.items() if weight > 0}


def drawn_views(config: ViewsConfig, data_set: DataSetConfig) -> list[str]:
    """List the views that a training draws: those of the student, and those that `teacher_weights` names besides."""
    of_teacher = teacher_view_weights(config) if config.teacher_weights else {}
    return list(view_weights(config, data_set) | of_teacher)


def drawn_by_key(config: ViewsConfig, data_set: DataSetConfig) -> dict[str, dict[str, float]]:
    """Return the views that are drawn and their weights, by the setting that names them."""
    return {
        "views.weights": view_weights(config, data_set),
        "views.teacher_weights": teacher_view_weights(config),
    }


def check_view_names(config: ViewsConfig, data_set: DataSetConfig) -> None:
    """Check that each view that training draws from is the photo, a folder of the data set, or computed.

    Raises:
        UsageError: one of them is not; names the nearest that is.
    """
    for problem in list_unknown_views(config, data_set):
        raise UsageError(problem)


def list_unknown_views(config: ViewsConfig, data_set: DataSetConfig) -> Iterator[str]:
    """Describe in one line each view of a training that does not exist, with the nearest that does."""
    if NATURAL in data_set.views:
        yield f"data.train.views.{NATURAL}: {NATURAL} is the photo itself; give this view another name"
    available = [NATURAL, *data_set.views, *COMPUTED_VIEWS]
    for key, weights in drawn_by_key(config, data_set).items():
        for view in weights:
            if view not in available:
                yield (
                    f"{key}.{view}: no folder data.train.views.{view} and not a computed view; "
                    f"nearest: {nearest(view, available)}"
                )
