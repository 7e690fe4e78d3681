"""What the trainings of experiments differ in."""

from __future__ import annotations

from typing import Any

from vclr.catalog.losses import teacher_losses
from vclr.catalog.views import NATURAL
from vclr.catalog.weights import TEACHER
from vclr.config import changed_by, differing_values, flat_config
from vclr.data.data_sets import training_set
from vclr.report.experiments import Experiment, trainings
from vclr.views.choice import drawn_by_key

OWN_NAMES = ("train.output_dir", "train.seed", "tracking.run_name")  # settings that only name a run
# Settings that say where data is and how it is scored. Compared instead are the test set and the groups, the files of
# the training set, the views that are drawn, and the weights that were evaluated.
DATA = (
    *(
        "data.",
        "views.weights",
        "views.teacher_weights",
        "dataloader.train.dataset.names",
        "dataloader.test.dataset.names",
    ),
    *("evaluation.protocol", "evaluation.test_sets", "evaluation.groups", "evaluation.max_dets"),
    "train.model_ema.use_ema_weights_for_eval_only",
)
OF_TEACHER = ("train.model_ema.enabled", "train.model_ema.decay")


def differences(experiments: list[Experiment]) -> dict[str, list[Any]]:
    """Return the settings that differ between experiments, each with its value in every experiment."""
    changed = differing_values([flat_config(experiment.config) for experiment in trainings(experiments)])
    return {key: row for key, row in sorted(changed.items()) if key not in OWN_NAMES}


def shown_differences(experiments: list[Experiment]) -> dict[str, list[str]]:
    """Return what `differences` does for a reader, without settings whose values look the same."""
    rows = {key: [format_setting(value) for value in row] for key, row in differences(experiments).items()}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def format_setting(value: Any) -> str:
    """Write the value of a setting for a reader: lists with commas, a dash for an empty value."""
    if value is None or value == {} or value == []:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def differing_settings(one: Experiment, other: Experiment) -> dict[str, list[Any]]:
    """Return the settings that differ between two trainings and that can change results, each with both values.

    Views are compared by their share of the training, files by the paths that are read and, if both runs recorded
    hashes, by their bytes.
    """
    changed = differing_values([_effective_settings(experiment) for experiment in (one, other)])
    # The weights of the views already say if only one of the trainings draws a view.
    unused = _view_folders(one).keys() ^ _view_folders(other).keys()
    unused |= set() if _use_teacher(one) and _use_teacher(other) else {*OF_TEACHER}
    found = {key: pair for key, pair in changed.items() if key not in unused}
    for key, hashes in sorted(differing_values([one.data_hashes, other.data_hashes]).items()):
        if all(hashes):
            found[f"content of the {key.replace('_', ' ')}"] = [value[:12] for value in hashes]
    return found


def _effective_settings(experiment: Experiment) -> dict[str, Any]:
    files, flat = training_set(experiment.config), flat_config(experiment.config)
    keys = [key for key in flat if changed_by(key) != "nothing" and not key.startswith(("train.seed", *DATA))]
    settings = {key: flat[key] for key in keys}
    settings |= {f"data.train.{key}": getattr(files, key) for key in ("annotations", "images", "proposals")}
    drawn = drawn_by_key(experiment.config.views, files)
    settings |= {key: _describe_views(weights) for key, weights in drawn.items()}
    settings["evaluated weights"] = experiment.weights
    return settings | _view_folders(experiment)


def _describe_views(weights: dict[str, float]) -> str:
    """Name the views that are drawn, with their shares unless these are equal."""
    views, total = sorted(weights, key=lambda view: (view != NATURAL, view)), sum(weights.values())
    are_equal = len(set(weights.values())) <= 1
    return ", ".join(view if are_equal else f"{view} {weights[view] / total:.4g}" for view in views)


def _view_folders(experiment: Experiment) -> dict[str, str | None]:
    folders = training_set(experiment.config).views
    return {f"data.train.views.{view}": folders.get(view) for view in experiment.views}


def _use_teacher(experiment: Experiment) -> bool:
    """Tell whether a training's results depend on its teacher."""
    config = experiment.config
    has_losses = teacher_losses(vars(config.model.criterion.weight_dict))
    return bool(has_losses or experiment.weights == TEACHER)


def describe_differences(found: dict[str, list[Any]], max_named: int | None = None, mark: str = "") -> str:
    """Say in a sentence how two trainings differ.

    Args:
        found: what `differing_settings` found.
        max_named: maximum number of settings that are named; the others are counted (default: name all).
        mark: text before and after the name of a setting.
    """
    names = [f"{mark}{key}{mark}" for key in found]
    if not names:
        return "The two trainings differ in no setting that can change results."
    if len(names) == 1:
        first, second = map(format_setting, next(iter(found.values())))
        return f"The two trainings differ only in {names[0]} ({first} instead of {second})."
    return (
        f"The two trainings differ in {_name_some(names, max_named)}, so this does not tell which of these made the "
        "difference."
    )


def _name_some(names: list[str], max_named: int | None) -> str:
    """Name the first few of several settings, and count the others."""
    shown = names if max_named is None or len(names) <= max_named + 1 else names[:max_named]
    *others, last = [*shown, f"{len(names) - len(shown)} more settings"] if len(shown) < len(names) else shown
    return f"{', '.join(others)} and {last}"
