"""Check a data set, given by its files or by a configuration, and list all problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vclr.catalog.views import REFUSE, SKIP
from vclr.coco.file import CocoFile, open_despite_bad_numbers
from vclr.config import Config, evaluates_while_training
from vclr.data.data_sets import evaluated_groups, list_missing_files, test_set, training_set
from vclr.data.doctor import kinds
from vclr.data.doctor.annotations import Contents, check_annotations, note_contents
from vclr.data.doctor.classes import check_classes
from vclr.data.doctor.habits import check_habits
from vclr.data.doctor.kinds import Use
from vclr.data.doctor.photos import FileIdentity, check_names, check_photos, check_views, count_others
from vclr.data.doctor.proposals import check_proposals
from vclr.data.doctor.report import Report
from vclr.data.photos_only import say_photos_only
from vclr.errors import UserError
from vclr.file_names import file_key, say_nearest
from vclr.finding import OK, Finding
from vclr.image_folders.open import Images, each_folder, find_missing, locate, open_folder
from vclr.splits.with_proposals import refuse_second_proposals
from vclr.views.choice import drawn_by_key, drawn_views, list_unknown_views
from vclr.views.missing import say_no_view
from vclr.worker_pool import WorkerPool


@dataclass
class DataSet:
    """The files of a data set, and their use.

    `views` has those views that are drawn, as files; `drawn` names all views that are drawn, by the setting that says
    how often.
    """

    annotations: Path
    images: Images
    views: dict[str, Path] = field(default_factory=dict)
    proposals: Path | None = None
    use: Use = field(default_factory=Use)
    drawn: dict[str, list[str]] = field(default_factory=dict)
    missing_views: str = REFUSE


@dataclass
class _Checked:
    """A data set whose json could be read."""

    files: DataSet
    coco: CocoFile
    contents: Contents
    photos: set[FileIdentity] = field(default_factory=set)


def check_files(files: DataSet, pool: WorkerPool, decode: bool = True) -> Report:
    """Check a data set for training or evaluation; without `decode`, only the size of each image is read."""
    report = Report()
    if not files.annotations.exists():
        report.findings += kinds.MISSING_FILE.found(files.use, f"--annotations {_say_missing(files.annotations)}")
    if (missing := find_missing(files.images)) is not None and not missing.exists():
        report.findings += kinds.MISSING_FILE.found(files.use, f"--images {_say_missing(missing)}")
    _check([files], {}, pool, decode, report)
    return report


def _say_missing(path: Path) -> str:
    return f"{path}: does not exist{say_nearest(path)}"


def check_config(config: Config, pool: WorkerPool, decode: bool = True) -> Report:
    """Check the training set and the test set of a configuration, with its views, proposals and class groups."""
    report = Report()
    train, test = training_set(config), test_set(config)
    report.findings += _check_paths(config)
    for problem in list_unknown_views(config.views, train):
        report.findings += kinds.NO_VIEW.found(Use(evaluates=False), problem)
    if said := say_photos_only(config, train):
        report.findings += kinds.PHOTOS_ONLY.found(Use(evaluates=False), said)
    if train.proposals:
        try:
            refuse_second_proposals(f"data.train.proposals={train.proposals}", train.annotations)
        except UserError as error:
            report.findings += kinds.TWICE.found(Use(evaluates=False), str(error))
    names = config.dataloader.train.dataset, config.dataloader.test.dataset
    use = Use(keeps_empty_train=not names[0].filter_empty, keeps_empty_test=not names[1].filter_empty)
    drawn = drawn_views(config.views, train)
    training = DataSet(
        Path(train.annotations),
        train.images,
        {view: Path(folder) for view, folder in train.views.items() if view in drawn},
        Path(train.proposals) if train.proposals else None,
        replace(use, evaluates=False, has_proposals=bool(train.proposals)),
        {key: list(weights) for key, weights in drawn_by_key(config.views, train).items()},
        config.views.missing,
    )
    tested = DataSet(Path(test.annotations), test.images, use=replace(use, trains=False))
    if (training.annotations, training.images) == (tested.annotations, tested.images):
        sets = [replace(training, use=replace(training.use, evaluates=True))]
        says = f"{training.annotations}: is the training set and the test set"
        report.findings.append(Finding(OK, "one set", says))
    else:
        sets = [training, tested]
    _check(sets, evaluated_groups(config), pool, decode, report)
    return report


def _check_paths(config: Config) -> list[Finding]:
    """Find files of the configuration that do not exist."""
    findings = []
    # A test set that is not configured is only missing if there is an evaluation.
    is_needed = bool(config.data.test.annotations) or evaluates_while_training(config)
    for problem in list_missing_files(training_set(config), "train"):
        findings += kinds.MISSING_FILE.found(Use(evaluates=False), problem)
    for problem in list_missing_files(test_set(config), "test"):
        kind = kinds.MISSING_FILE if is_needed else kinds.MISSING_TEST_FILE
        findings += kind.found(Use(trains=False), problem)
    return findings


def _check(sets: list[DataSet], groups: dict[str, list[str]], pool: WorkerPool, decode: bool, report: Report) -> None:
    checked = []
    for files in sets:
        if files.annotations.exists():
            try:
                coco = open_despite_bad_numbers(files.annotations)
            except UserError as error:
                report.findings += kinds.UNREADABLE_JSON.found(files.use, str(error))
                continue
            checked.append(_check_set(files, coco, groups, pool, decode, report))
    for folder in {folder: None for one in checked for folder in each_folder(one.files.images) if locate(folder)}:
        contents = [one.contents for one in checked if folder in each_folder(one.files.images)]
        names = {image["file_name"] for one in contents for image in one.images.values()}
        report.findings += count_others(open_folder(folder), names)
    if len(checked) == 2:
        report.findings += _compare(*checked)


def _check_set(
    files: DataSet, coco: CocoFile, groups: dict[str, list[str]], pool: WorkerPool, decode: bool, report: Report
) -> _Checked:
    report.num_images += len(coco.images)
    report.num_annotations += len(coco.annotations)
    findings, contents = check_annotations(coco, files.use, pool)
    checked = _Checked(files, coco, contents)
    report.findings += note_contents(coco, contents)
    report.findings += findings
    report.findings += check_habits(coco, contents, files.use)
    report.findings += check_classes(coco, contents, groups, files.use)
    report.findings += check_names(coco, contents, bool(files.views), files.use)
    missing = find_missing(files.images)
    if missing is None:
        photos = open_folder(files.images)
        found, checked.photos = check_photos(coco, contents, photos, files.use, decode, pool)
        report.findings += found
    elif missing.exists():
        report.findings += kinds.MISSING_FILE.found(files.use, f"{missing}: is not a folder")
    report.findings += _check_all_views(files, contents, decode, pool)
    if files.proposals is not None and files.proposals.exists():
        report.findings += check_proposals(files.proposals, contents, pool)
    return checked


def _check_all_views(files: DataSet, contents: Contents, decode: bool, pool: WorkerPool) -> list[Finding]:
    findings: list[Finding] = []
    lacking: dict[str, Sequence[str]] = {}
    for view, folder in files.views.items():
        found, names = check_views(contents, view, folder, decode, pool, files.missing_views)
        findings += found
        lacking[view] = names
    if files.missing_views != SKIP:
        return findings
    for key, drawn in files.drawn.items():
        if lacking.keys() >= set(drawn):  # else the photo or a computed view is always left
            photos = sorted(set.intersection(*(set(lacking[view]) for view in drawn)))
            if photos:
                findings += kinds.NO_VIEW_LEFT.found(Use(evaluates=False), say_no_view(photos, key))
    return findings


def _compare(training: _Checked, test: _Checked) -> list[Finding]:
    """Report what the training set and the test set have in common."""
    findings = []
    if common := len(training.photos & test.photos):
        says = f"{test.coco.path}: {common} of {len(test.photos)} photos are also in the training set"
        findings += kinds.SEEN_PHOTOS.found(test.files.use, says)
    names = {image["id"]: file_key(image["file_name"]) for image in training.contents.images.values()}
    keys = ((image["id"], file_key(image["file_name"])) for image in test.contents.images.values())
    num_shared = sum(names.get(image_id, key) != key for image_id, key in keys)
    if num_shared:
        says = f"{num_shared} image ids stand for other photos in {training.coco.path}; each json has its own ids"
        findings.append(Finding(OK, "image ids", f"{test.coco.path}: {says}"))
    return findings
