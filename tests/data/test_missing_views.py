"""Photos without a file of a view: refused, without the view, or with the photo in its place; each time said."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vclr.config import Config
from vclr.data.batches import collate
from vclr.data.readiness import check_experiment
from vclr.data.samples import TrainingSamples
from vclr.engine.same_training import training_hash
from vclr.errors import UserError

MakeConfig = Callable[..., Config]
EPOCHS = 60


@pytest.fixture
def lacking(make_config: MakeConfig, world: Path, tmp_path: Path) -> MakeConfig:
    """Return the settings of `make_config` on depth maps of which every second one is missing."""
    shutil.copytree(world / "views/toy/depth", tmp_path / "depth")
    for path in sorted((tmp_path / "depth").glob("*.png"))[::2]:
        path.unlink()
    return lambda *overrides: make_config(f"data.train.views.depth={tmp_path}/depth", *overrides)


def test_default_refuses(lacking: MakeConfig):
    for check in (TrainingSamples, check_experiment):
        with pytest.raises(
            UserError,
            match=r"view depth of \d+ photos is missing; the first: train_\d+\.png; .*set views\.missing to",
        ):
            check(lacking())


@pytest.mark.parametrize("policy", ["skip", "photo"])
def test_start_says_how_many(lacking: MakeConfig, policy: str, caplog: pytest.LogCaptureFixture):
    check_experiment(lacking(f"views.missing={policy}"))
    samples = TrainingSamples(lacking(f"views.missing={policy}"))
    missing = samples.views.count_missing()
    assert missing.keys() == {"depth"} and 0 < missing["depth"] < len(samples)
    fate = {"skip": "the view is not drawn for them", "photo": "the photo stands in"}[policy]
    assert caplog.messages == [f"view depth: {missing['depth']} of {len(samples)} photos have no file; {fate}"]


def test_photo_stands_in(lacking: MakeConfig):
    own = ("views.weights={natural: 0, depth: 1, style: 0}",)
    samples = TrainingSamples(lacking("views.missing=photo", *own))
    for index in range(len(samples)):
        sample = samples[0, index]
        assert torch.equal(sample.image, sample.teacher_image) == (not samples.views.files["depth"].has(index))
        expected = ("depth", "") if samples.views.files["depth"].has(index) else ("natural", "depth")
        assert (sample.view, sample.missing_view) == expected
    batch = collate([samples[0, index] for index in range(3)])
    assert batch.missing_views.count("depth") == batch.views.count("natural")


def test_other_views_share_the_weight(lacking: MakeConfig):
    weights = "views.weights={natural: 3, depth: 2, style: 1}"
    reader = TrainingSamples(lacking("views.missing=skip", weights)).views
    places = reader.files["depth"].missing().tolist()
    draws = [
        reader.student.draw(np.random.default_rng([epoch, place]), place)
        for epoch in range(20 * EPOCHS)
        for place in places
    ]
    shares = Counter(draw.view for draw in draws)
    assert shares["depth"] == 0
    assert shares["natural"] / len(draws) == pytest.approx(3 / 4, abs=0.03)
    assert sum(draw.missing == "depth" for draw in draws) / len(draws) == pytest.approx(2 / 6, abs=0.03)


def test_photos_with_all_views_are_drawn_as_ever(make_config: MakeConfig, lacking: MakeConfig):
    plain = TrainingSamples(make_config())
    for policy in ("skip", "photo"):
        samples = TrainingSamples(lacking(f"views.missing={policy}"))
        for index in range(len(samples)):
            first, second = plain[2, index], samples[2, index]
            if not second.missing_view:
                assert first.view == second.view and torch.equal(first.image, second.image)


def test_photo_without_any_view_is_refused(lacking: MakeConfig):
    own = "views.weights={natural: 0, depth: 1, style: 0}"
    for check in (TrainingSamples, check_experiment):
        with pytest.raises(UserError, match=r"views\.missing=skip: \d+ photos have none of the views that are drawn"):
            check(lacking("views.missing=skip", own))
        check(lacking("views.missing=skip", own, "views.weights.edge=1"))  # every photo has a computed view


def test_view_that_no_photo_has_is_always_refused(make_config: MakeConfig, tmp_path: Path):
    for policy in ("error", "skip", "photo"):
        with pytest.raises(UserError, match="it has none of these photos: name their folder"):
            TrainingSamples(make_config(f"data.train.views.depth={tmp_path}", f"views.missing={policy}"))


def test_policy_makes_another_training(make_config: MakeConfig):
    hashes = {training_hash(make_config(f"views.missing={policy}")) for policy in ("error", "skip", "photo")}
    assert len(hashes) == 3
    assert training_hash(make_config()) in hashes
