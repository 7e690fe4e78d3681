"""A training with a teacher-driven loss, but without any view beside the photo: said, because it is rarely meant."""

from __future__ import annotations

from vclr.catalog.data_sets import DATA_SETS
from vclr.catalog.losses import teacher_losses
from vclr.catalog.views import NATURAL
from vclr.config import Config, DataSetConfig
from vclr.views.choice import drawn_views


def say_photos_only(config: Config, train: DataSetConfig) -> str | None:
    """Say in one line that a training compares the photo only with itself, why, and what to do; None if it does not.

    Args:
        config: the experiment.
        train: its training set, as `training_set` returns it.
    """
    losses = teacher_losses(vars(config.model.criterion.weight_dict))
    if not losses or drawn_views(config.views, train) != [NATURAL]:
        return None
    corrupt = [name for name, is_on in vars(config.views.corrupt).items() if is_on]
    sees = f"the teacher's photo corrupted (views.corrupt: {', '.join(corrupt)})" if corrupt else "the teacher's photo"
    advice = "views.weights.NAME=1" if config.views.weights else "data.train.views.NAME=FOLDER"
    turn_off = " ".join(f"model.criterion.weight_dict.{name}=0" for name in losses)
    return (
        f"training uses only the photos{_left_behind(config)}: for {', '.join(losses)}, the student sees {sees}; "
        f"to add a view, set {advice}; to train without {', '.join(losses)}, set {turn_off}"
    )


def _left_behind(config: Config) -> str:
    """Say which views of the catalog were left behind with its data set."""
    published = DATA_SETS.get(config.dataloader.train.dataset.names)
    if config.views.weights or not (published and published.views and config.data.train.annotations):
        return ""
    views = ", ".join(published.views)
    return f", since data.train.views names no view (those of {published.name}, {views}, do not fit other photos)"
