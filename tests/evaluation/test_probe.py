"""A probe: renderings of the test set are evaluated like the photos, and the queries of an object are compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from vclr.catalog.views import CONTROLS, PROBE_VIEWS
from vclr.cli import app
from vclr.config import Config, load_config
from vclr.data.batches import pad_images
from vclr.engine.shared_evaluation import evaluate
from vclr.errors import UsageError, UserError
from vclr.evaluation.evaluate import open_test_set
from vclr.evaluation.probe import choose_renderings, open_renderings, probe
from vclr.evaluation.probe_queries import QueryProbe, summarize
from vclr.evaluation.probe_ratios import Measured, divide, mean_ratio, ratios
from vclr.evaluation.probe_table import format_probe
from vclr.files import read_json
from vclr.generate.toy import write_toy_world
from vclr.losses.consistency import consistency_loss
from vclr.losses.matcher import HungarianMatcher
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.pictures import software_of

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"
KEY = "data.test.views"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_toy_world(root, num_train=1, num_val=3, size=64, quiet=True)
    shutil.copytree(root / "raw" / "toy" / "images", root / "copies")
    return root


def settings(world: Path, *overrides: str) -> list[str]:
    own = [f"data.test.annotations={world}/raw/toy/annotations_val.json", "data.test.proposals=''"]
    own += [f"data.test.images={world}/raw/toy/images", "dataloader.test.mapper.short_edge_length=64"]
    return [*own, "model.num_queries=20", "dataloader.test.batch_size=2", *overrides]


def make_config(world: Path, *overrides: str) -> Config:
    return load_config(DEMO, settings(world, *overrides))


def make_model(config: Config) -> Detector:
    torch.manual_seed(0)
    return build_model(config)


@pytest.fixture(scope="module")
def probed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict, Path]:
    """The probe of an untrained detector, with one view that is files: copies of the photos."""
    config, output = make_config(world, f"{KEY}.copied={world}/copies"), tmp_path_factory.mktemp("probe")
    shown, left_out = open_renderings(config, ["copied", "gray", "shuffled_patch"])
    return config, probe(make_model(config), config, shown, left_out, output, quiet=True), output


def test_photos_give_what_an_evaluation_gives(probed: tuple[Config, dict, Path], tmp_path: Path):
    config, content, output = probed
    assert read_json(output / "probe.json") == content
    metrics = evaluate(make_model(config), config, tmp_path, quiet=True)
    natural = content["renderings"]["natural"]
    for found in metrics["groups"].values():
        del found["intervals"], found["max_predictions"]
    assert {group: found["metrics"] for group, found in natural["groups"].items()} == metrics["groups"]
    assert content["provenance"]["test_set"] == metrics["provenance"]["test_set"]


def test_a_view_that_is_copies_of_the_photos_changes_nothing(probed: tuple[Config, dict, Path], world: Path):
    copied = probed[1]["renderings"]["copied"]
    assert copied["source"] == str(world / "copies")
    for group, found in copied["groups"].items():
        assert found["metrics"] == probed[1]["renderings"]["natural"]["groups"][group]["metrics"]
        assert not [name for key in ("ratio", "ratio_intervals") for name in found[key] if name.endswith("_score")]
        assert {ratio for ratio in found["ratio"].values() if ratio is not None} == {1.0}
        intervals = [ends for ends in found["ratio_intervals"].values() if ends]
        assert intervals and all(ends == [1.0, 1.0] for ends in intervals), "the draws of both have the same images"
        assert found["queries"]["mean_cosine"] == pytest.approx(1, abs=1e-6)


def test_other_renderings_change_the_queries_and_are_counted_per_group(probed: tuple[Config, dict, Path], world: Path):
    objects = read_json(world / "raw/toy/annotations_val.json")["annotations"]
    for view in ("gray", "shuffled_patch"):
        groups = probed[1]["renderings"][view]["groups"]
        assert probed[1]["renderings"][view]["source"] == "computed"
        assert set(groups) == {"known", "novel"}
        assert sum(found["queries"]["num_objects"] for found in groups.values()) == len(objects)
        assert all(-1 <= found["queries"]["mean_cosine"] < 0.9999 for found in groups.values())


def test_picture_says_who_made_it_and_table_names_each_rendering(probed: tuple[Config, dict, Path]):
    _, content, output = probed
    assert software_of(output / "probe.png") == "vclr probe"
    with Image.open(output / "probe.png") as picture:
        assert min(picture.size) > 500
    table, conclusion = format_probe(content).split("\n\n")
    rows = [line.split()[:2] for line in table.splitlines()[1:]]
    assert rows[:-2] == [[view, group] for view in content["renderings"] for group in ("known", "novel")]
    assert all(row == ["(other", "objects)"] for row in rows[-2:])
    assert conclusion.endswith(f"(mean of {content['headline']} kept in copied, gray)")


def test_interval_of_a_ratio_is_of_the_same_images():
    """Rendering and photos vary together, so that the ratio hardly varies, and their intervals overlap by far."""
    photos = np.random.default_rng(0).uniform(10, 50, 1000)
    noise = np.random.default_rng(1).uniform(0.49, 0.51, 1000)
    natural = Measured({"a": 30.0, "b": 0.0, "c": None}, {"a": photos, "b": np.zeros(1000)})
    shown = Measured({"a": 15.0, "b": 0.0, "c": 1.0}, {"a": photos * noise, "b": np.zeros(1000), "c": photos})
    found = ratios(shown, natural)
    assert found["ratio"] == {"a": 0.5, "b": None, "c": None}
    assert found["ratio_intervals"] == {"a": pytest.approx([0.49, 0.51], abs=1e-3), "b": None}
    whole = mean_ratio([shown, natural], natural, "a")
    assert whole == {"mean_ratio": 0.75, "interval": pytest.approx([0.745, 0.755], abs=1e-3)}
    nothing = {"mean_ratio": None, "interval": None}
    for renderings, metric in (([], "a"), ([shown], "b"), ([shown], "c")):
        assert mean_ratio(renderings, natural, metric) == nothing


def test_cosines_are_minus_the_consistency_loss(world: Path):
    """Over one batch, the mean over objects is what training minimizes, computed by its own code."""
    config = make_config(world)
    samples = open_test_set(config)
    model = make_model(config).eval()
    batches = [[shown[index] for index in range(3)] for shown in (samples, samples.in_view("random_conv"))]
    outputs = []
    with torch.no_grad():
        for batch in batches:
            images, sizes = pad_images([sample.image for sample in batch])
            outputs.append(model(model.normalize(images, sizes), sizes))
    queries = QueryProbe(samples.coco, config.model.criterion.matcher)
    queries.remember(batches[0], outputs[0])
    observe, results = queries.compare({"all": None})
    observe(batches[1], outputs[1])
    targets = [queries._target(sample.image_id, torch.device("cpu")) for sample in batches[1]]
    logits, boxes = (
        torch.stack([getattr(one, name) for one in outputs[::-1]]) for name in ("pred_logits", "pred_boxes")
    )
    matching = HungarianMatcher(config.model.criterion.matcher)(logits, boxes, targets)
    loss = consistency_loss(outputs[1], outputs[0], matching, sum(map(len, targets)))
    assert results()["all"]["mean_cosine"] == pytest.approx(-float(loss), abs=1e-6)


def test_different_objects_are_compared_within_their_photo(world: Path):
    config = make_config(world)
    samples = open_test_set(config)
    queries = QueryProbe(samples.coco, config.model.criterion.matcher)
    first, second = [image["id"] for image in samples.coco.images[:2]]
    numbers = np.arange(2)
    queries._of_photos = {
        first: (numbers, torch.tensor([[1.0, 0.0], [3.0, 4.0]])),
        second: (numbers[:1], torch.tensor([[0.0, 1.0]])),  # alone, so it is compared with none
    }
    found = queries.compare_objects({"all": None})["all"]
    assert found == {"mean_cosine": pytest.approx(0.6), "standard_error": None, "num_objects": 2}


def test_renderings_do_not_depend_on_order_or_neighbors(world: Path):
    samples = open_test_set(make_config(world)).in_view("random_texture")
    forward, backward = [samples[index].image for index in range(3)], [samples[index].image for index in (2, 1, 0)]
    assert all(torch.equal(one, other) for one, other in zip(forward, backward[::-1], strict=True))
    assert not torch.equal(
        forward[0], open_test_set(make_config(world, "views.seed=1")).in_view("random_texture")[0].image
    )


def test_by_default_published_views_without_files_are_replaced_or_left_out():
    folders, left_out = choose_renderings([], {}, KEY)
    assert list(folders) == ["natural", "pseudo_depth", "edge", "gray", "random_texture", "shuffled_patch"]
    assert left_out == {
        "depth": "data.test.views names no folder of depth; pseudo_depth, which is computed, takes its place",
        "style": "data.test.views names no folder of style, and a pretrained model is needed to make it; left out",
    }
    own = {"depth": "a", "style": "b", "thermal": "c"}
    folders, left_out = choose_renderings([], own, KEY)
    assert set(folders) == {*PROBE_VIEWS, "thermal"}
    assert {view: folders[view] for view in own} == own
    assert list(folders)[-1] in CONTROLS
    assert left_out == {}


@pytest.mark.parametrize(
    ("views", "own", "says"),
    [
        (
            ["grey"],
            {},
            "--views grey: no folder of data.test.views and not a computed view; nearest: gray",
        ),
        (["style"], {}, "--views style: no folder of data.test.views and not a computed view"),
        (["depth"], {}, "--views depth: no folder of data.test.views and not a computed view; pseudo_depth is one"),
        ([], {"natural": "a"}, "data.test.views.natural: natural is the photo itself; give this view another name"),
    ],
)
def test_a_rendering_that_does_not_exist_is_misuse(views: list[str], own: dict[str, str], says: str):
    with pytest.raises(UsageError) as raised:
        choose_renderings(views, own, KEY)
    assert str(raised.value) == says


def test_a_view_that_lacks_a_photo_is_named(world: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"name their folder with data\.test\.views\.depth=FOLDER"):
        open_renderings(make_config(world, f"{KEY}.depth={tmp_path}"), ["depth"])


def test_ratio_to_nothing_is_nothing():
    assert divide({"a": 1.0, "b": 1.0, "c": None, "d": 0.0}, {"a": 2.0, "b": 0.0, "c": 1.0, "d": 4.0}) == {
        "a": 0.5,
        "b": None,
        "c": None,
        "d": 0.0,
    }


def test_error_of_a_mean_counts_images_not_objects():
    one_each = summarize([np.array([value]) for value in (0.2, 0.4, 0.9)])
    assert one_each["mean_cosine"] == pytest.approx(0.5)
    assert one_each["standard_error"] == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1) / 3**0.5)
    repeated = summarize([np.full(100, value) for value in (0.2, 0.4, 0.9)])
    assert repeated["standard_error"] == pytest.approx(one_each["standard_error"]), "copies are no evidence"
    assert summarize([np.array([0.3, 0.5])])["standard_error"] is None
    assert summarize([np.array([])]) == {"mean_cosine": None, "standard_error": None, "num_objects": 0}


def test_command_probes_a_checkpoint_and_replaces_only_its_own_picture(world: Path, tmp_path: Path):
    config = make_config(world)
    torch.save({"model": make_model(config).state_dict()}, tmp_path / "weights.pt")
    output = tmp_path / "out"
    command = ["probe", "--config-file", str(DEMO), "--checkpoint", str(tmp_path / "weights.pt"), "--quiet"]
    command += ["--weights", "student", "--output", str(output), "--views", "gray,shuffled_patch", *settings(world)]
    command += ["dataloader.train.mapper.mask_on=false"]  # boxes are found even by an untrained detector
    for _ in range(2):
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0
        assert ["gray", "novel"] in [line.split()[:2] for line in done.output.splitlines()]
        assert {path.name for path in output.iterdir()} == {"probe.json", "probe.png"}
    content = read_json(output / "probe.json")
    assert list(content["renderings"]) == ["natural", "gray", "shuffled_patch"]
    assert content["seed"] == 0
    assert content["headline"] == "box_ar@100"
    invariance = content["appearance_invariance"]
    assert invariance["renderings"] == ["gray"]  # without the control
    gray = {group: found["ratio"]["box_ar@100"] for group, found in content["renderings"]["gray"]["groups"].items()}
    assert {group: found["mean_ratio"] for group, found in invariance["groups"].items()} == gray
    assert any(ratio is not None for ratio in gray.values())
    assert all((ratio is None) == (invariance["groups"][group]["interval"] is None) for group, ratio in gray.items())
    Image.new("RGB", (3, 3)).save(output / "probe.png")
    with pytest.raises(UsageError, match=r"probe\.png in it was not written by this command"):
        CliRunner().invoke(app, command, catch_exceptions=False)
