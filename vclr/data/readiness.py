"""Checks of an experiment when it is planned, submitted, or about to take its first step.

Imports no torch, because planning and submitting need these checks too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vclr.catalog.views import REFUSE
from vclr.coco.annotations import Json, list_unknown_categories, open_images
from vclr.coco.file import CocoFile, open_coco
from vclr.config import BackboneConfig, Config, check_training, evaluates_while_training
from vclr.data.data_sets import evaluated_groups, missing_files, test_set, training_set
from vclr.detectron2_package import find_model_config
from vclr.errors import UserError
from vclr.file_names import say_nearest
from vclr.image_folders.open import find_missing, locate
from vclr.model_source import cached_commit, find_folder, locate_source
from vclr.splits.with_proposals import refuse_no_proposals, refuse_second_proposals
from vclr.views.choice import check_view_names, drawn_views
from vclr.views.files import ViewFiles
from vclr.views.missing import refuse_without_view


def check_experiment(config: Config, needs_first_weights: bool = True, reads_training_set: bool = True) -> None:
    """Check that a training, and the evaluations during it, will find everything they need.

    The test set must exist if the training evaluates along the way (`train.eval_period` from 1 to `train.max_iter`).
    Whatever exists of it is always checked.

    Args:
        config: the experiment.
        needs_first_weights: `train.init_checkpoint` will be read; once there is a checkpoint, it is not.
        reads_training_set: look for each photo and view of the training set; a training does this itself. Views may be
            missing as far as `views.missing` allows.

    Raises:
        UsageError: a name is unknown; names the nearest.
        UserError: a file, photo, class or backbone does not exist.
    """
    tested = check_names(config, needs_first_weights)
    train = training_set(config)
    if problem := missing_files(train, "train"):
        raise UserError(problem)
    views = {view: train.views[view] for view in drawn_views(config.views, train) if view in train.views}
    for view, folder in views.items():
        if locate(folder) is None:
            raise UserError(f"data.train.views.{view}={folder}: does not exist{say_nearest(folder)}")
    weights = config.train.init_checkpoint
    if weights and needs_first_weights and not Path(weights).is_file():
        raise UserError(f"train.init_checkpoint={weights}: no such checkpoint{say_nearest(weights)}")
    if needs_first_weights:
        _ask_hub(config.model.backbone)
    if reads_training_set:
        coco = open_coco(train.annotations)
        coco.check_images()
        open_images(train.images, coco.images, coco.path)
        file_names = [image["file_name"] for image in coco.images]
        allowed = config.views.missing != REFUSE
        files = {
            view: ViewFiles(view, Path(folder), file_names, may_be_missing=allowed) for view, folder in views.items()
        }
        refuse_without_view(config.views, files, train)
    if evaluates_while_training(config) and (problem := missing_files(test_set(config), "test")):
        raise UserError(problem)
    images = test_set(config).images
    if images and find_missing(images) is None and (tested := tested or _open_test_set(config)):
        tested.check_images()
        open_images(images, tested.images, tested.path)


def check_test_set(config: Config) -> None:
    """Check what an evaluation names before the checkpoint is read: protocol, files of the test set, classes of groups.

    Raises:
        UsageError: there is no such data set or protocol; names the nearest.
        UserError: a file of the test set is missing, or a class of `evaluation.groups` is not in it.
    """
    if problem := missing_files(test_set(config), "test"):
        raise UserError(problem)
    if evaluated_groups(config) and (tested := _open_test_set(config)):
        check_groups(config, tested.head["categories"])


def check_names(config: Config, needs_first_weights: bool = True) -> CocoFile | None:
    """Check the names in an experiment, as far as the existing data allows; return the test set if that needed it.

    Args:
        config: the experiment.
        needs_first_weights: as for `check_experiment`.

    Raises:
        UsageError: a view, data set or protocol is unknown (names the nearest); proposals would be added twice, or are
            needed and not there; a setting has no effect on the model of detectron2 that the experiment names, or there
            is no such model; or the folder of a backbone has a revision.
        UserError: the test set lacks a class of `evaluation.groups`, there is no such folder of a backbone, or
            detectron2 is needed and not installed.
    """
    check_training(config)
    if config.detectron2.config:
        find_model_config(config.detectron2.config)
    backbone = config.model.backbone
    if needs_first_weights and backbone.source and not backbone.architecture:
        locate_source(backbone.source, backbone.revision and f"model.backbone.revision={backbone.revision}")
    train = training_set(config)
    check_view_names(config.views, train)
    if train.proposals:
        refuse_second_proposals(f"data.train.proposals={train.proposals}", train.annotations)
    if setting := "proposals.only=True" if config.proposals.only else config.model.criterion.tells_apart():
        refuse_no_proposals(setting, train)
    tested = _open_test_set(config) if evaluated_groups(config) else None
    if tested:
        check_groups(config, tested.head["categories"])
    return tested


def _ask_hub(backbone: BackboneConfig) -> None:
    """Ask the hub for its model unless this machine has it; the commit then belongs to the training."""
    source = backbone.source
    if not source or backbone.architecture or find_folder(source) or cached_commit(source, backbone.revision):
        return
    from vclr.models.transformers_source import fetch_settings  # imports torch

    fetch_settings(backbone)


def _open_test_set(config: Config) -> CocoFile | None:
    annotations = test_set(config).annotations
    return open_coco(annotations) if Path(annotations).is_file() else None


def check_groups(config: Config, categories: list[Json]) -> None:
    """Check that the test set with these categories has every class of the groups that are evaluated separately.

    Raises:
        UserError: it lacks one; names the nearest.
    """
    for problem in list_unknown_classes(evaluated_groups(config), categories, test_set(config).annotations):
        raise UserError(problem)


def list_unknown_classes(groups: dict[str, list[str]], categories: list[Json], annotations: str) -> Iterator[str]:
    """Yield one line per class of a group that the test set lacks, with the nearest class."""
    for group, names in groups.items():
        yield from list_unknown_categories(categories, names, f"evaluation.groups.{group}: {annotations}")
