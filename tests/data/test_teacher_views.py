"""What the teacher sees: by default the photo, else views that are drawn apart from the student's."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vclr.config import Config, load_config
from vclr.data.batch_picture import write_batch_picture
from vclr.data.batches import collate
from vclr.data.doctor.check import check_config
from vclr.data.loader import TrainingLoader
from vclr.data.photos_only import say_photos_only
from vclr.data.readiness import check_experiment
from vclr.data.samples import TrainingSamples
from vclr.engine.data_hashes import hash_training_data
from vclr.engine.same_training import training_hash
from vclr.errors import UsageError, UserError
from vclr.pictures import read_image
from vclr.worker_pool import WorkerPool

MakeConfig = Callable[..., Config]
PHOTO, DEPTH, BOTH = {"natural": 1.0}, {"depth": 1.0}, {"depth": 1.0, "style": 2.0}
KEYS = [(epoch, index) for epoch in range(4) for index in range(6)]


@pytest.fixture(scope="module")
def config(make_config: MakeConfig) -> Config:
    loader = "dataloader.train.total_batch_size=4", "dataloader.train.aspect_ratio_grouping=False"
    return make_config(*loader)


def seeing(config: Config, student: dict[str, float], teacher: dict[str, float], missing: str = "error") -> Config:
    """Return the settings with other views; loading them takes longer than these tests."""
    return replace(config, views=replace(config.views, weights=student, teacher_weights=teacher, missing=missing))


def test_the_student_does_not_notice(config: Config):
    plain, other = TrainingSamples(config), TrainingSamples(seeing(config, {}, BOTH))
    for key in KEYS:
        first, second = plain[key], other[key]
        assert first.view == second.view and torch.equal(first.image, second.image)
        assert torch.equal(first.target.masks, second.target.masks)
        assert first.teacher_view == "natural" and second.teacher_view in BOTH


def test_the_teacher_sees_what_a_student_of_that_view_does(config: Config):
    samples = TrainingSamples(seeing(config, PHOTO, BOTH))
    alone = {view: TrainingSamples(seeing(config, {view: 1.0}, {})) for view in BOTH}
    for epoch, index in KEYS:
        sample = samples[epoch, index]
        generator = np.random.default_rng([samples.seed, epoch, index, 1])
        assert sample.teacher_view == ("depth", "style")[int(generator.choice(2, p=[1 / 3, 2 / 3]))]
        assert torch.equal(sample.teacher_image, alone[sample.teacher_view][epoch, index].image)
        assert sample.view == "natural"


def test_draws_are_as_often_as_asked_and_apart_from_the_students(config: Config):
    samples = TrainingSamples(seeing(config, PHOTO | DEPTH, PHOTO | DEPTH))
    pairs: Counter[tuple[str, str]] = Counter()
    for epoch in range(800):
        student = samples.views.student.draw(np.random.default_rng([samples.seed, epoch, 0]), 0)
        pairs[student.view, samples._draw_for_teacher(epoch, 0).view] += 1
    assert len(pairs) == 4 and all(count / 800 == pytest.approx(1 / 4, abs=0.05) for count in pairs.values())


def test_the_same_view_is_held_once(config: Config):
    samples = TrainingSamples(seeing(config, DEPTH, DEPTH))
    batch = collate([samples[0, index] for index in range(2)])
    assert batch.teacher_images is batch.images and batch.teacher_views == batch.views == ["depth"] * 2


def test_workers_and_processes_draw_the_same(config: Config):
    config = seeing(config, PHOTO, BOTH)
    train = replace(config.dataloader.train, num_workers=1)
    samples = TrainingSamples(config)
    whole = next(iter(TrainingLoader(config, samples)))
    halves = [next(iter(TrainingLoader(config, samples, rank=rank, world_size=2))) for rank in range(2)]
    assert [view for half in halves for view in half.teacher_views] == whole.teacher_views
    sent = iter(TrainingLoader(replace(config, dataloader=replace(config.dataloader, train=train)), samples))
    assert torch.equal(next(sent).teacher_images, whole.teacher_images)
    sent.close()


# --- missing files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lacking(config: Config, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Return the settings on depth maps of which every second one is missing."""
    folder = tmp_path_factory.mktemp("lacking") / "depth"
    shutil.copytree(world / "views/toy/depth", folder)
    for path in sorted(folder.glob("*.png"))[::2]:
        path.unlink()
    views = config.data.train.views | {"depth": str(folder)}
    return replace(config, data=replace(config.data, train=replace(config.data.train, views=views)))


def test_files_that_the_teacher_lacks_are_refused_or_counted(lacking: Config):
    for check in (TrainingSamples, check_experiment):
        with pytest.raises(UserError, match=r"view depth of \d+ photos is missing"):
            check(seeing(lacking, PHOTO, BOTH))
    samples = TrainingSamples(seeing(lacking, PHOTO, BOTH, "photo"))
    assert samples.views.count_missing().keys() == {"depth"}
    drawn = [samples[key] for key in KEYS]
    missing = [sample.teacher_missing_view for sample in drawn]
    assert "depth" in missing and not any(sample.missing_view for sample in drawn)
    for sample in drawn:
        assert (sample.teacher_view == "natural") == bool(sample.teacher_missing_view)
        assert torch.equal(sample.image, sample.teacher_image) == bool(sample.teacher_missing_view)
    assert collate(drawn).teacher_missing_views == missing
    skipping = TrainingSamples(seeing(lacking, PHOTO, BOTH, "skip"))
    assert {skipping[key].teacher_view for key in KEYS} == {"depth", "style"}


def test_a_photo_that_the_teacher_cannot_see_is_refused(lacking: Config):
    own = seeing(lacking, {}, DEPTH, "skip")
    says = r"views\.missing=skip: \d+ photos have none of the views.*; set views\.teacher_weights\.natural=1"
    for check in (TrainingSamples, check_experiment):
        with pytest.raises(UserError, match=says):
            check(own)
    found = [one.says for one in check_config(own, WorkerPool()).findings if "teacher_weights" in one.says]
    assert len(found) == 1


# --- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["views.teacher_weights.depth=-1"], "views.teacher_weights.depth=-1.0: must be a finite number"),
        (["views.teacher_weights={depth: 0}"], "views.teacher_weights: at least one view"),
        (
            ["views.teacher_weights={depth: 1}", "model.criterion.weight_dict.loss_consistency=0"],
            "views.teacher_weights: has no effect, because no loss needs the teacher",
        ),
    ],
)
def test_weights_that_cannot_be_are_refused(overrides: list[str], message: str):
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        load_config(None, overrides)


def test_views_that_are_not_there_are_refused(config: Config):
    says = r"^views\.teacher_weights\.dept: no folder data\.train\.views\.dept and not a computed view; nearest: depth"
    with pytest.raises(UsageError, match=says):
        check_experiment(seeing(config, {}, {"dept": 1.0}))


def test_views_of_the_teacher_belong_to_the_training(config: Config):
    natural, swapped = seeing(config, PHOTO, {}), seeing(config, PHOTO, BOTH)
    assert training_hash(natural) != training_hash(swapped)
    views = {"view_depth", "view_style"}
    assert views <= hash_training_data(swapped).keys() and not views & hash_training_data(natural).keys()
    assert say_photos_only(natural, natural.data.train) and not say_photos_only(swapped, swapped.data.train)


def test_the_picture_of_a_batch_names_both_views(config: Config, tmp_path: Path):
    samples = TrainingSamples(seeing(config, PHOTO, DEPTH))
    batch = collate([samples[0, index] for index in range(2)])
    pictures = [
        read_image(write_batch_picture(one, tmp_path / name))
        for name, one in {"both": batch, "student": replace(batch, teacher_views=[])}.items()
    ]
    heads = [picture[:20, : 256 + 8].mean() for picture in pictures]
    assert heads[0] < heads[1], "a longer text is darker"
