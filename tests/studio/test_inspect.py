"""`vclr views inspect` on toy scenes: sound views pass, views of other photos and broken files are found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.report.document import Document
from vclr.catalog.view_measures import VIEW_MEASURES, VIEW_MINIMA
from vclr.cli import app
from vclr.errors import UsageError, UserError
from vclr.files import read_json, write_json
from vclr.generate.toy import write_toy_world
from vclr.studio.data import Inspected, draw_sample
from vclr.studio.inspect import inspect_views
from vclr.studio.verdict import read_minima
from vclr.views.write import write_views

NUM_PHOTOS = 8


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    write_toy_world(root, num_train=NUM_PHOTOS, num_val=2, quiet=True)
    for path in [*root.rglob("val_*.png"), root / "raw/toy/annotations_val.json"]:
        path.unlink()
    return root


@pytest.fixture(scope="module")
def wrong(toy: Path) -> Path:
    """The styled scenes, each under the name of the next one."""
    style = toy / "views/toy/style"
    names = sorted(path.name for path in style.glob("*.png"))
    (toy / "wrong").mkdir()
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        shutil.copy(style / name, toy / "wrong" / other)
    return toy / "wrong"


def run(*arguments: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["views", "inspect", "--quiet", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def data(toy: Path, *views: str) -> list[str]:
    raw = toy / "raw/toy"
    own = [f"{view}={toy}/views/toy/{view}" for view in views]
    files = ["--images", str(raw / "images"), "--annotations", str(raw / "annotations_train.json")]
    return files + [word for one in own for word in ("--view", one)]


@pytest.fixture(scope="module")
def inspected(toy: Path, wrong: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """The page, the json and the text of one run with sound views, a control, and views of other photos."""
    root = tmp_path_factory.mktemp("out")
    views = ["--view", f"wrong={wrong}", "--computed", "gray,edge,shuffled_patch"]
    paths = ["--output", root / "page.html", "--json", root / "figures.json"]
    code, text = run(*data(toy, "depth", "style"), *views, *paths, "--check")
    assert code == 1
    return root / "page.html", read_json(root / "figures.json"), text


def test_the_figures_are_as_the_views_are(inspected: tuple[Path, dict[str, Any], str]):
    views = inspected[1]["views"]
    assert [*views] == ["natural", "depth", "style", "wrong", "gray", "edge", "shuffled_patch"]
    mean = {view: {name: one["mean"] for name, one in found["measures"].items()} for view, found in views.items()}
    assert all(list(one) == list(VIEW_MEASURES) for one in mean.values())
    assert all(0 <= value <= 1 for one in mean.values() for value in one.values())
    assert mean["natural"]["structure"] == mean["natural"]["own_photo"] == 1 and mean["natural"]["change"] == 0
    assert mean["gray"]["structure"] > 0.6 and mean["gray"]["texture"] < 0.01
    assert mean["gray"]["change"] < min(mean[view]["change"] for view in ("depth", "style", "edge"))
    broken = max(mean[view]["structure"] for view in ("wrong", "shuffled_patch"))
    assert broken < min(mean[view]["structure"] for view in ("depth", "style", "gray", "edge"))
    assert mean["depth"]["outlines_kept"] > 1.5 * mean["wrong"]["outlines_kept"]
    for found in views.values():
        for name, one in found["measures"].items():
            low, high = one["interval"]
            assert low <= one["mean"] <= high
            assert one["mean"] == pytest.approx(np.mean([photo[name] for photo in found["photos"].values()]))


def test_views_of_other_photos_fail_the_check(inspected: tuple[Path, dict[str, Any], str]):
    _, content, text = inspected
    assert not content["passed"]
    (line,) = content["failures"]  # the control is shown and not judged
    assert line.startswith("view wrong: structure ")
    assert "own_photo" in line and line.endswith("the files seem to belong to other photos")
    assert line in text
    assert content["views"]["wrong"]["failures"] and not content["views"]["depth"]["failures"]
    assert content["views"]["wrong"]["minima"] == VIEW_MINIMA and content["views"]["shuffled_patch"]["minima"] == {}
    assert content["inspected"]["num_photos"] == content["inspected"]["sample"] == NUM_PHOTOS


def test_the_page_is_one_file_that_says_it_all(inspected: tuple[Path, dict[str, Any], str]):
    text = inspected[0].read_text()
    root = Document(text).root
    assert inspected[1]["failures"][0] in " ".join(item.words() for item in root.walk("li"))
    (table,) = root.walk("table")
    assert table.children[0].tag == "caption"
    assert len([*table.walk("tr")]) == 1 + 7
    assert all(cell["scope"] in ("col", "row") for cell in table.walk("th"))
    pictures = [image["alt"] for image in root.walk("img")]
    assert len(pictures) == len({*pictures}) == 8 * 7 + 6 * 3 * 2
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in root.walk("img"))
    assert [plot["role"] for plot in root.walk("svg")] == ["img"]
    areas = [area for area in root.walk("div") if "scroll" in (area["class"] or "").split()]
    assert all((area["tabindex"], area["role"]) == ("0", "region") and area["aria-label"] for area in areas)
    levels = [int(heading.tag[1]) for heading in root.walk("h1", "h2", "h3")]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))


def test_a_copy_of_the_photos_and_thresholds_of_the_user(toy: Path, tmp_path: Path):
    few = ["--sample", "2", "--check", "--output", tmp_path / "page.html"]
    code, text = run(*data(toy), "--view", f"copy={toy}/raw/toy/images", *few)
    assert code == 1 and "view copy: change 0.000 is below 0.02" in text
    assert run(*data(toy), "--view", f"copy={toy}/raw/toy/images", *few, "--min-change", "0")[0] == 0
    code, text = run(*data(toy, "depth"), *few, "--computed", "gray", "--min-structure", "depth=0.99")
    assert code == 1 and "view depth: structure" in text and "view gray" not in text
    code, text = run(*data(toy), *few, "--computed", "shuffled_patch", "--min-structure", "shuffled_patch=0.9")
    assert code == 1 and "view shuffled_patch: structure" in text
    for option, says in ((["--min-change", "2"], "from 0 to 1"), (["--min-change", "dept=0.1"], "nearest: depth")):
        with pytest.raises(UsageError, match=says):
            run(*data(toy, "depth"), *few, *option)


def test_missing_and_broken_files_are_counted(toy: Path, tmp_path: Path):
    folder = shutil.copytree(toy / "views/toy/depth", tmp_path / "depth")
    names = sorted(path.name for path in folder.glob("*.png"))
    (folder / names[0]).unlink()
    (folder / names[1]).write_text("not an image")
    Image.open(folder / names[2]).resize((30, 40)).save(folder / names[2])
    own = data(toy) + ["--view", f"depth={folder}", "--output", str(tmp_path / "page.html")]
    code, text = run(*own, "--json", tmp_path / "a.json")
    assert code == 0 and "2 files of the sample cannot be used" in text
    found = read_json(tmp_path / "a.json")["views"]["depth"]
    assert (found["num_missing"], found["first_missing"]) == (1, names[0])
    assert sorted(found["unusable"]) == names[1:3]
    assert "is 30x40, its photo" in found["unusable"][names[2]] and found["num_measured"] == NUM_PHOTOS - 3
    assert run(*own, "--check")[0] == 1
    page = (tmp_path / "page.html").read_text()
    assert "cannot be used</div>" in page and "has no file of 1 photo; the first" in page
    for path in folder.glob("*.png"):
        path.unlink()
    code, text = run(*own, "--check")
    assert code == 1 and "view depth: has no file of any photo of the sample" in text


def test_a_photo_that_cannot_be_read_is_left_out(toy: Path, tmp_path: Path):
    images = shutil.copytree(toy / "raw/toy/images", tmp_path / "images")
    names = sorted(path.name for path in images.iterdir())
    (images / names[0]).write_text("not an image")
    sample = draw_sample(Inspected(images, computed=["gray"]), 4, 0)
    assert sample.names == draw_sample(Inspected(images, computed=["edge"]), 4, 0).names
    assert sample.names != draw_sample(Inspected(images, computed=["edge"]), 4, 1).names
    found = inspect_views(draw_sample(Inspected(images, computed=["gray"]), 99, 0), quiet=True)
    assert list(found.unreadable) == names[:1]
    assert len(found.views["gray"].values) == NUM_PHOTOS - 1
    assert found.views["gray"].summarize("outlines") is None  # no annotations
    for name in names:
        (images / name).write_text("not an image")
    with pytest.raises(UserError, match="none of the 8 photos of the sample can be read; the first: .*is not an image"):
        inspect_views(draw_sample(Inspected(images, computed=["gray"]), 99, 0), quiet=True)


def test_one_photo_is_enough_and_any_size_is(tmp_path: Path):
    (tmp_path / "images").mkdir()
    for name, size in (("long", (400, 3)), ("dot", (1, 1)), ("large", (900, 700))):
        noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3))
        Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "images" / f"{name}.png")
        found = inspect_views(draw_sample(Inspected(tmp_path / "images", computed=["gray"]), 9, 0), quiet=True)
    assert len(found.views["gray"].values) == 3
    (tmp_path / "one").mkdir()
    shutil.copy(tmp_path / "images/large.png", tmp_path / "one")
    sample = draw_sample(Inspected(tmp_path / "one", computed=["gray"]), 9, 0)
    assert inspect_views(sample, quiet=True).views["gray"].summarize("own_photo") is None
    assert read_minima({}, sample) == {"gray": VIEW_MINIMA}


def test_a_configuration_names_the_views_of_the_training(toy: Path, tmp_path: Path):
    write_views("edge", toy / "raw/toy/images", tmp_path / "edge", quiet=True)
    settings = [f"data.train.annotations={toy}/raw/toy/annotations_train.json"]
    settings += [f"data.train.images={toy}/raw/toy/images", f"data.train.views.depth={toy}/views/toy/depth"]
    settings += [f"data.train.views.edge={tmp_path}/edge", "views.weights={natural: 1, depth: 1, palette: 2, edge: 0}"]
    own = ["--sample", "1", "--output", tmp_path / "page.html", "--json", tmp_path / "a.json", *settings]
    assert run(*own, "--computed", "gray")[0] == 0
    assert [*read_json(tmp_path / "a.json")["views"]] == ["natural", "depth", "palette", "gray"]
    assert run(*own, "views.weights={depth: 0, palette: 0}", "--check")[0] == 0  # photos alone: nothing to fail
    assert [*read_json(tmp_path / "a.json")["views"]] == ["natural"]


def test_misuse_is_one_line(toy: Path, tmp_path: Path):
    output = ["--output", tmp_path / "page.html"]
    (tmp_path / "other.html").write_text("<!doctype html><p>mine</p>")
    write_json(tmp_path / "other.json", {"mine": 1})
    for arguments, says in (
        (output, "needs --images FOLDER and --view NAME=FOLDER"),
        ([*data(toy), *output], "needs --images FOLDER and --view NAME=FOLDER or --computed NAME"),
        ([*data(toy), *output, "--computed", "edgy"], "nearest: edge"),
        ([*data(toy), *output, "--view", "natural=x"], "is the photo itself"),
        ([*data(toy), *output, "--view", "depth"], "must be NAME=FOLDER"),
        ([*data(toy), *output, "--view", "a=x", "--view", "a=y"], "--view a=y: a is also given as x"),
        (
            [*data(toy, "depth")[:2], *data(toy, "depth")[4:], *output, "--min-outlines-kept", "0.1"],
            "--min-outlines-kept: needs the outlines of objects; give --annotations",
        ),
        (
            [*data(toy, "depth"), *output, "--min-own-photo", "0.1", "--sample", "1"],
            "--min-own-photo: needs other photos to compare with; raise --sample",
        ),
        ([*data(toy, "depth"), *output, "views.seed=1"], "do not go together with a configuration"),
        ([*data(toy, "depth"), "--output", tmp_path / "other.html"], "was not written by this command"),
        ([*data(toy, "depth"), *output, "--json", tmp_path / "other.json"], "was not written by this command"),
        ([*data(toy, "depth"), *output, "--json", tmp_path / "page.html"], "is also given as --output"),
    ):
        with pytest.raises(UsageError, match=says):
            run(*arguments)
    with pytest.raises(UserError, match="--view depth=.*dept: does not exist; nearest: .*depth"):
        run(*data(toy), *output, "--view", f"depth={toy}/views/toy/dept")
    assert not (tmp_path / "page.html").exists()


def test_the_json_is_plain(inspected: tuple[Path, dict[str, Any], str]):
    assert json.dumps(inspected[1], allow_nan=False)
