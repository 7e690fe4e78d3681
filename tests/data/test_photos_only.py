"""Views that an override leaves behind, or keeps: training says which it uses when that is rarely meant."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from vclr.config import Config, load_config
from vclr.data.data_sets import training_set
from vclr.data.photos_only import say_photos_only
from vclr.data.samples import TrainingSamples
from vclr.errors import UsageError, UserError

MakeConfig = Callable[..., Config]
OWN = ("data.train.annotations=mine.json", "data.train.images=mine")
NO_LOSS = "model.criterion.weight_dict.loss_consistency=0"


def said(*overrides: str, file: str | None = None) -> str | None:
    config = load_config(file, overrides)
    return say_photos_only(config, training_set(config))


def test_own_photos_in_place_of_a_catalog_s_lose_its_views():
    assert said() is None
    assert said(*OWN) == (
        "training uses only the photos, since data.train.views names no view (those of "
        "openworld_voc_classes_train2017, depth, style, do not fit other photos): for loss_consistency, the student "
        "sees the teacher's photo corrupted (views.corrupt: mix, erase, grayscale); "
        "to add a view, set data.train.views.NAME=FOLDER; to train without loss_consistency, set "
        "model.criterion.weight_dict.loss_consistency=0"
    )
    assert (
        said(*OWN, "views.corrupt={mix: false, erase: false, grayscale: false}").count("sees the teacher's photo; ")
        == 1
    )
    for meant in (NO_LOSS, "data.train.views.depth=mine/depth", "views.weights={natural: 1, edge: 1}"):
        assert said(*OWN, meant) is None


def test_weights_may_leave_only_the_photo():
    text = said("views.weights={natural: 1}")
    assert text and text.startswith("training uses only the photos: ")
    assert "; to add a view, set views.weights.NAME=1; " in text
    assert said("views.weights={natural: 1, depth: 0}") == text
    assert said("views.weights={depth: 1}") is None


def test_training_says_it_once(make_config: MakeConfig, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "vclr"):
        TrainingSamples(make_config("data.train.views={}"))
        TrainingSamples(make_config("data.train.views={}", NO_LOSS))
        TrainingSamples(make_config())
    assert [text[:30] for text in caplog.messages] == ["training uses only the photos,"]


def test_a_view_can_be_taken_away(make_config: MakeConfig):
    assert list(training_set(make_config("data.train.views.depth=''")).views) == ["style"]
    assert list(training_set(load_config(None, ["data.train.views.style=''"])).views) == ["depth"]
    assert training_set(make_config("data.train.views={}")).views == {}


def test_views_that_stay_are_said(caplog: pytest.LogCaptureFixture):
    demo = "configs/experiment/demo.yaml"
    load_config(demo, OWN)
    assert caplog.messages == [
        "data.train.annotations and data.train.images are overridden, but data.train.views is not "
        "(depth=data/views/toy/depth, style=data/views/toy/style): if those views are of other photos, name yours, or "
        "leave them out with data.train.views={}"
    ]
    caplog.clear()
    load_config(demo, [*OWN, "data.train.views={}"])
    load_config(demo, [*OWN, "data.train.views.depth=mine/depth"])
    load_config(demo, OWN[1:])  # the same photos, elsewhere
    load_config(None, OWN)
    assert not caplog.messages


def test_a_folder_of_views_of_other_photos_is_refused(make_config: MakeConfig, tmp_path: Path):
    (tmp_path / "other.png").touch()
    says = r"view depth of 10 photos is missing; .*; it has none of these photos: name .* or leave it out with data\.t"
    with pytest.raises(UserError, match=says):
        TrainingSamples(make_config(f"data.train.views.depth={tmp_path}"))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_name_of_the_catalog_without_effect_is_refused(make_config: MakeConfig, part: str):
    name = f"dataloader.{part}.dataset.names=toy_train"
    with pytest.raises(UsageError, match=rf"^{name}: has no effect, because data\.{part}\.annotations=.* comes first"):
        make_config(name)
    instead = make_config(name, f"data.{part}.annotations=''", f"data.{part}.images=''", f"data.{part}.views={{}}")
    assert getattr(instead.data, part).views == {}


def test_annotations_alone_lack_photos(make_config: MakeConfig):
    config = load_config(None, [f"data.train.annotations={make_config().data.train.annotations}"])
    with pytest.raises(
        UserError, match=r"^data\.train\.images: is not set, and data\.train\.annotations also replaces"
    ):
        TrainingSamples(config)
