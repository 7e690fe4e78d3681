"""Each view of each set has one producer, which `views` of configs/workflow.yaml chooses."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import pytest

from vclr.catalog.classes import COCO_CLASSES
from vclr.catalog.views import COMPUTED_VIEWS, PRODUCERS, WEIGHT_FREE
from vclr.data.origins import Origins
from vclr.errors import UsageError
from workflow.methods import Methods
from workflow.producers import CHOSEN_VIEWS, GENERATED, Producers, check_producers
from workflow.weights import Weights, hub_cache

SETS = ("toy", "coco2017", "photos", "coco2017_mine", "toys")
LEARNED = "depth-anything"
AUTO = {"depth": "auto", "style": "auto"}


@pytest.fixture(autouse=True)
def _no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def producers(root: Path, has_extra: bool = True, fetched: tuple[str, ...] = (), **views: str) -> Producers:
    return Producers(AUTO | views, Origins(str(root)), Weights(root, fetched, has_extra=has_extra))


def put_weights(root: Path, producer: str = LEARNED) -> None:
    (root / "weights" / producer).mkdir(parents=True)
    (root / "weights" / producer / "config.json").write_text("{}")


def test_auto_without_models(tmp_path: Path):
    chosen = producers(tmp_path, has_extra=False)
    assert [chosen.of("coco2017", view) for view in CHOSEN_VIEWS] == ["published"] * 2
    assert [chosen.of("photos", view) for view in CHOSEN_VIEWS] == list(WEIGHT_FREE.values())
    assert [chosen.of("toy", view) for view in CHOSEN_VIEWS] == [GENERATED] * 2
    assert chosen.options("photos", "depth") == "--view pseudo_depth"
    assert chosen.inputs("photos", "depth") == [] and not chosen.any_is_learned()


def test_auto_needs_the_extra_and_the_weights(tmp_path: Path):
    assert producers(tmp_path).of("photos", "depth") == "pseudo_depth"
    put_weights(tmp_path, "zoedepth")
    assert producers(tmp_path, has_extra=False).of("photos", "depth") == "pseudo_depth"
    chosen = producers(tmp_path)
    assert chosen.of("photos", "depth") == "zoedepth"
    assert chosen.options("photos", "depth") == f"--view depth --model {tmp_path}/weights/zoedepth"
    assert chosen.inputs("photos", "depth") == [f"{tmp_path}/weights/zoedepth"]
    assert chosen.any_is_learned() and chosen.of("coco2017", "depth") == "published"
    put_weights(tmp_path)
    assert producers(tmp_path).of("photos", "depth") == LEARNED, "the default comes first"


def test_auto_takes_weights_of_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    snapshot = hub_cache() / "models--Intel--dpt-large/snapshots/0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    chosen = producers(tmp_path, fetched=("dpt",))
    assert chosen.of("photos", "depth") == "dpt"
    assert chosen.options("photos", "depth") == "--view depth --model Intel/dpt-large"
    assert chosen.inputs("photos", "depth") == []
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", "/somewhere")
    assert hub_cache() == Path("/somewhere/hub")


def test_weights_of_an_explicit_producer_are_fetched(tmp_path: Path):
    chosen = producers(tmp_path, fetched=(LEARNED,), depth=LEARNED)
    assert chosen.of("coco2017", "depth") == LEARNED, "also in place of the published view"
    marker = f"{tmp_path}/weights/{LEARNED}/FETCHED"
    assert chosen.inputs("coco2017", "depth") == [marker]
    put_weights(tmp_path)
    (tmp_path / "weights" / LEARNED / "FETCHED").touch()
    assert producers(tmp_path, fetched=(LEARNED,), depth=LEARNED).inputs("photos", "depth") == [marker]


def test_an_interrupted_download_is_no_weights(tmp_path: Path):
    put_weights(tmp_path)
    (tmp_path / "weights" / LEARNED / "model.safetensors.partial").touch()
    assert producers(tmp_path, fetched=(LEARNED,)).of("photos", "depth") == "pseudo_depth"
    asked = producers(tmp_path, fetched=(LEARNED,), depth=LEARNED)
    assert asked.inputs("photos", "depth") == [f"{tmp_path}/weights/{LEARNED}/FETCHED"], "the fetch goes on"


def test_published_view_of_nobody_is_refused(tmp_path: Path):
    chosen = producers(tmp_path, depth="published")
    assert chosen.of("coco2017", "depth") == "published"
    with pytest.raises(UsageError, match=r"^views\.depth=published: nobody publishes this view of photos \(only"):
        chosen.of("photos", "depth")


def test_unknown_producer_names_the_nearest():
    check_producers(AUTO | {"style": "adain"})
    with pytest.raises(UsageError, match=r"^views\.depth=depth_anything: .*; nearest: depth-anything$"):
        check_producers(AUTO | {"depth": "depth_anything"})
    with pytest.raises(UsageError, match="views.style=zoedepth"):
        check_producers(AUTO | {"style": "zoedepth"})


def values_of(view: str) -> list[str]:
    return ["auto", "published", *PRODUCERS[view], *list(COMPUTED_VIEWS)[:2]]


@pytest.mark.parametrize(("depth", "style"), list(product(values_of("depth"), values_of("style"))))
def test_each_manifest_has_one_rule(tmp_path: Path, depth: str, style: str):
    """The rules `fetch_toy`, `fetch_view` and `chosen_view` share all sets among them, without overlap."""
    chosen = producers(tmp_path, depth=depth, style=style)
    fetched = re.compile(rf"(?P<set>{chosen.fetched_sets()})/(?P<view>[\w-]+)/manifest\.json")
    rendered = re.compile(rf"(?P<set>{chosen.rendered_sets()})/(?P<view>depth|style)/manifest\.json")
    for name, view in product(SETS, CHOSEN_VIEWS):
        path = f"{name}/{view}/manifest.json"
        found = [bool(fetched.fullmatch(path)), bool(rendered.fullmatch(path)), name == "toy"]
        assert sum(found) == 1, (path, found)


def test_choice_is_said_once(tmp_path: Path):
    said: list[str] = []
    chosen = Producers(AUTO, Origins(str(tmp_path)), Weights(tmp_path, (), has_extra=False), said.append)
    for _ in range(2):
        chosen.options("photos", "style")
    assert said == ["view style of photos: random_texture (views.style=auto), which needs no weights"]


def test_depth_cut_waits_for_the_depth_of_its_set(tmp_path: Path):
    methods = Methods(Origins(str(tmp_path)), Weights(tmp_path, ("dino-vits8",)))
    marker = f"{tmp_path}/weights/dino-vits8/FETCHED"
    assert methods.inputs("depth_cut", "photos") == [marker, f"{tmp_path}/views/photos/depth/manifest.json"]
    assert methods.inputs("maskcut", "photos") == [marker]
    model = f"--model {tmp_path}/weights/dino-vits8"
    assert methods.options("depth_cut", "photos") == f"--method depth_cut {model} --depth {tmp_path}/views/photos/depth"
    without = Methods(Origins(str(tmp_path)), Weights(tmp_path, ()))
    assert without.options("maskcut", "photos") == "--method maskcut --model facebook/dino-vits8"
    assert without.inputs("maskcut", "photos") == [], "the job asks the hub"


def test_plan_with_a_model_for_depth_and_proposals(checkout):
    for name in ("images/1.jpg", "annotations_train.json"):
        checkout.write(f"data/raw/photos/{name}", "{}")
    classes = [{"id": number, "name": name} for number, name in enumerate(COCO_CLASSES)]
    empty = {"images": [], "annotations": [], "categories": classes}
    checkout.write("data/raw/photos/annotations_val.json", json.dumps(empty))
    own = ("all", "-np", "--cores", "2", "--config", "experiments=[photos]", "training_proposals=depth_cut")
    output = checkout.run("snakemake", *own, "views={depth: depth-anything}")
    assert "vclr fetch depth-anything --output data" in output
    model = "--view depth --model data/weights/depth-anything"
    assert f"vclr views {model} --images data/raw/photos/images --output data/views/photos/depth" in output
    assert "vclr views --view random_texture --images data/raw/photos/images --output data/views/photos/style" in output
    assert output.count("vclr: view depth of photos: depth-anything (views.depth=depth-anything), weights in data") == 1
    assert "--depth data/views/photos/depth --images data/raw/photos/images" in output
    assert "--output data/proposals/photos/train_depth_cut.json" in output
