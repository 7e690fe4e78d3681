"""What can be known to be wrong with an experiment when it is planned, submitted, or about to take its first step.

Imports no torch: whoever plans or submits asks too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vclr.coco.annotations import Json, list_unknown_categories, open_images
from vclr.coco.file import open_coco
from vclr.config import Config
from vclr.data.catalog import check_view_names, evaluated_groups, missing_files, test_set, training_set, view_weights
from vclr.data.view_files import ViewFiles
from vclr.errors import UserError, nearest
from vclr.image_folder import locate


def check_experiment(config: Config, needs_first_weights: bool = True, reads_training_set: bool = True) -> None:
    """Check that a training, and the evaluations on its way, will find all that they need.

    The test set has to be there if the training evaluates on its way (`train.eval_period` from 1 to `train.max_iter`).
    What is there of it is checked in any case.

    Args:
        config: the experiment.
        needs_first_weights: `train.init_checkpoint` is to be read, which nothing does once there is a checkpoint.
        reads_training_set: look for each photo and view of the training set; what trains does this by itself.

    Raises:
        UsageError: a name that there is not; names the nearest.
        UserError: a file, photo or class that is not there.
    """
    check_names(config)
    train = training_set(config)
    if problem := missing_files(train, "train"):
        raise UserError(problem)
    views = {view: Path(train.views[view]) for view in view_weights(config.views, train) if view in train.views}
    for view, folder in views.items():
        if locate(folder) is None:
            raise UserError(f"data.train.views.{view}={folder}: does not exist")
    weights = config.train.init_checkpoint
    if weights and needs_first_weights and not Path(weights).is_file():
        raise UserError(f"train.init_checkpoint={weights}: no such checkpoint{_nearest_file(Path(weights))}")
    if reads_training_set:
        coco = open_coco(train.annotations)
        coco.check_images()
        open_images(train.images, coco.images, coco.path)
        file_names = [image["file_name"] for image in coco.images]
        for view, folder in views.items():
            ViewFiles(view, folder, file_names)
    if 0 < config.train.eval_period <= config.train.max_iter and (problem := missing_files(test_set(config), "test")):
        raise UserError(problem)
    _check_test_photos(config)


def check_names(config: Config) -> None:
    """Check the names that an experiment gives to others' things, as far as that needs no data but what is there.

    Raises:
        UsageError: there is no such view, data set or protocol; names the nearest.
        UserError: a class of `evaluation.groups` that the test set does not have.
    """
    check_view_names(config.views, training_set(config))
    tested = test_set(config)
    if evaluated_groups(config) and Path(tested.annotations).is_file():
        check_groups(config, open_coco(tested.annotations).head["categories"])


def check_groups(config: Config, categories: list[Json]) -> None:
    """Check that the test set, whose categories these are, has each class of the groups that are evaluated apart.

    Raises:
        UserError: it has not; names the nearest.
    """
    for problem in list_unknown_classes(evaluated_groups(config), categories, test_set(config).annotations):
        raise UserError(problem)


def list_unknown_classes(groups: dict[str, list[str]], categories: list[Json], annotations: str) -> Iterator[str]:
    """Say in one line of each class of a group that the test set does not have it, and which is the nearest."""
    for group, names in groups.items():
        yield from list_unknown_categories(categories, names, f"evaluation.groups.{group}: {annotations}")


def _check_test_photos(config: Config) -> None:
    tested = test_set(config)
    if Path(tested.annotations).is_file() and tested.images and locate(tested.images) is not None:
        coco = open_coco(tested.annotations)
        coco.check_images()
        open_images(tested.images, coco.images, coco.path)


def _nearest_file(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()] if path.parent.is_dir() else []
    return f"; nearest: {path.parent / nearest(path.name, names)}" if names else ""
