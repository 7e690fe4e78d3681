"""`vclr predict`: a json and a picture for each photo, and nothing half-written for one that is none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from vclr.catalog.annotation_tools import ANNOTATION_TOOLS
from vclr.cli import app
from vclr.coco.annotations import load_coco, to_mask
from vclr.config import dump_config, load_config
from vclr.errors import UsageError, UserError
from vclr.evaluation.finder import Search
from vclr.evaluation.predict import predict_files
from vclr.evaluation.tiled import Tiling
from vclr.files import read_json
from vclr.models.build import build_model
from vclr.models.weights import find_checkpoint
from vclr.pictures import read_image, read_numbers, write_png
from vclr.pre_annotations.photo import Naming

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model as a training would have saved it."""
    config = load_config(DEMO, ["model.num_queries=20", "dataloader.test.mapper.short_edge_length=64"])
    state = build_model(config).state_dict()
    path = tmp_path_factory.mktemp("weights") / "last.pt"
    torch.save({"model": state, "teacher": state, "config": dump_config(config)}, path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    write_png(tmp_path / "photos" / "a.png", image)
    return tmp_path / "photos" / "a.png"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_each_photo_gets_a_json_and_a_picture(checkpoint: Path, photo: Path, tmp_path: Path):
    predict_files([photo], checkpoint, tmp_path / "out", 0.0, "cpu")
    assert names_in(tmp_path / "out") == ["a.json", "a.png"]
    results = read_json(tmp_path / "out" / "a.json")
    assert len(results) > 0
    for result in results:
        assert result["file_name"] == "a.png"
        assert result["segmentation"]["size"] == [50, 70]
    height, width = read_image(tmp_path / "out" / "a.png").shape[:2]
    assert height / width == pytest.approx(50 / 70)


def test_scores_below_the_limit_are_in_the_json_only(checkpoint: Path, photo: Path, tmp_path: Path):
    for name, min_score in (("all", 0.0), ("none", 1.1)):
        predict_files([photo], checkpoint, tmp_path / name, min_score, "cpu")
    assert read_json(tmp_path / "all" / "a.json") == read_json(tmp_path / "none" / "a.json") != []
    assert (read_image(tmp_path / "all" / "a.png") != read_image(tmp_path / "none" / "a.png")).any()


def test_photo_that_is_none_leaves_nothing_half_written(
    checkpoint: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """And the photos after it are predicted."""
    bad, last = photo.with_name("b.png"), photo.with_name("c.png")
    bad.write_text("not an image")
    last.write_bytes(photo.read_bytes())
    with pytest.raises(UserError, match=r"1 of 3 files was refused"):
        predict_files([photo, bad, last], checkpoint, tmp_path / "out", 0.3, "cpu", quiet=True)
    assert capsys.readouterr().err == f"vclr: {bad}: is not an image\n"
    assert names_in(tmp_path / "out") == ["a.json", "a.png", "c.json", "c.png"]
    with pytest.raises(UserError, match=r"b\.png: is not an image"):
        predict_files([bad], checkpoint, tmp_path / "out", 0.3, "cpu")


def test_photo_with_a_name_as_long_as_names_can_be_stops_nothing(
    checkpoint: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Only one whose results cannot be named after it is refused."""
    long, too_long, last = (photo.with_name(f"{name}.jpg") for name in ("b" * 250, "c" * 251, "d"))
    for path in (long, too_long, last):
        path.write_bytes(photo.read_bytes())
    with pytest.raises(UserError, match=r"1 of 4 files was refused"):
        predict_files([photo.parent], checkpoint, tmp_path / "out", 0.3, "cpu", quiet=True)
    assert f"{too_long}: its name is too long to name results after it; rename it" in capsys.readouterr().err
    assert names_in(tmp_path / "out") == sorted(f"{p.stem}.{s}" for p in (photo, long, last) for s in ("json", "png"))
    predict_files([long], checkpoint, tmp_path / "out", 0.3, "cpu", quiet=True)  # as often as somebody likes


def test_photos_of_one_name_are_refused(checkpoint: Path, photo: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"two photos are called a \(.*photos/a\.png, .*/a\.jpg\): "):
        predict_files([photo, tmp_path / "a.jpg"], checkpoint, tmp_path / "out", 0.3, "cpu")
    assert names_in(tmp_path / "out") == []
    predict_files([photo, photo, photo.parent], checkpoint, tmp_path / "out", 0.3, "cpu")
    assert names_in(tmp_path / "out") == ["a.json", "a.png"], "the same photo three times is one photo"


def test_weights_without_a_configuration_are_of_the_published_model(photo: Path, tmp_path: Path):
    torch.save({"model": {}}, tmp_path / "bare.pt")
    with pytest.raises(UserError, match=r"bare\.pt: nothing in it fits the model"):
        predict_files([photo], tmp_path / "bare.pt", tmp_path / "out", 0.3, "cpu")
    assert names_in(tmp_path / "out") == []


def test_unknown_device_is_one_line(checkpoint: Path, photo: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="^device='warp': must be"):
        predict_files([photo], checkpoint, tmp_path / "out", 0.3, "warp")


# --- what may be written over ----------------------------------------------------------------------------------------

NO_MODEL = Path("absent.pt")  # what is refused is refused before the model is looked for


def test_folder_of_the_photos_is_no_output(photo: Path, tmp_path: Path):
    (photo.parent / "a.json").write_text('{"shapes": []}')
    (tmp_path / "link").symlink_to(photo.parent)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(photo)
    before = {path.name: path.read_bytes() for path in photo.parent.iterdir()}
    for given, output in (
        (photo, photo.parent),
        (photo.parent, photo.parent / "." / ".." / "photos"),
        (photo, tmp_path / "link"),
        (tmp_path / "link" / "a.png", photo.parent),
        (tmp_path / "links" / "a.png", photo.parent),
        (tmp_path / "links" / "a.png", tmp_path / "links"),
    ):
        with pytest.raises(UsageError) as caught:
            predict_files([given], NO_MODEL, output, 0.3, "cpu")
        assert str(caught.value) == f"{output}: holds the photos; the results need a folder of their own"
    assert {path.name: path.read_bytes() for path in photo.parent.iterdir()} == before


@pytest.mark.parametrize("name", ["a.json", "a.png"])
@pytest.mark.parametrize("content", [b'{"shapes": []}', b"[]", b"\x89PNG", b""])
def test_files_of_somebody_else_are_not_replaced(photo: Path, tmp_path: Path, name: str, content: bytes):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"out/{name}: was not written by `vclr predict`; name another folder"):
        predict_files([photo], NO_MODEL, tmp_path / "out", 0.3, "cpu")
    assert (tmp_path / "out" / name).read_bytes() == content
    assert names_in(tmp_path / "out") == [name]


def test_own_results_are_replaced_beside_files_of_others(checkpoint: Path, photo: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for min_score in (0.0, 1.1):
        predict_files([photo], checkpoint, tmp_path / "out", min_score, "cpu")
    assert names_in(tmp_path / "out") == ["a.json", "a.png", "notes.txt"]
    (tmp_path / "out" / "a.json").unlink()  # as an interrupted run leaves it
    predict_files([photo], checkpoint, tmp_path / "out", 0.3, "cpu")
    (tmp_path / "out" / "a.json").write_text('{"shapes": []}')  # the picture, annotated with labelme
    with pytest.raises(UsageError, match=r"out/a\.json: was not written by"):
        predict_files([photo], checkpoint, tmp_path / "out", 0.3, "cpu")


def test_output_that_cannot_be_written_is_found_first(photo: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for output, says in (
        (tmp_path / "file" / "out", f"{tmp_path}/file is a file, not a folder"),
        (tmp_path / "file", "is not a folder; name a folder for the results"),
        (tmp_path / "nowhere", "is not a folder; name a folder for the results"),
        (Path("/proc/found"), "cannot be written: "),
    ):
        with pytest.raises(UserError) as caught:
            predict_files([photo], NO_MODEL, output, 0.3, "cpu")
        assert str(caught.value).startswith(f"{output}: {says}")


# --- what is given ---------------------------------------------------------------------------------------------------


def test_folder_of_a_training_is_a_checkpoint(checkpoint: Path, tmp_path: Path):
    last = tmp_path / "runs" / "mine" / "seed0" / "checkpoints" / "last.pt"
    last.parent.mkdir(parents=True)
    last.write_bytes(checkpoint.read_bytes())
    for folder in (last.parent, last.parent.parent):
        assert find_checkpoint(folder) == last
    with pytest.raises(UserError, match=r"mine: holds no checkpoints/last\.pt; nearest: .*mine/seed0$"):
        find_checkpoint(tmp_path / "runs" / "mine")
    with pytest.raises(UserError, match=r"runs: holds no checkpoints/last\.pt$"):
        find_checkpoint(tmp_path / "runs")


def test_line_says_what_was_found_and_drawn(
    checkpoint: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    predict_files([photo], checkpoint, tmp_path / "out", 0.0, "cpu", max_objects=1)
    count = len(read_json(tmp_path / "out" / "a.json"))
    assert count > 1
    assert capsys.readouterr().out == f"a.png: {count} objects, 1 drawn -> {tmp_path}/out/a.png\n"
    predict_files([photo], checkpoint, tmp_path / "out", 1.0, "cpu")
    line = capsys.readouterr().out
    assert line.startswith(f"a.png: {count} objects, 0 drawn (the best score is 0.")
    assert line.endswith(f"; --min-score is 1) -> {tmp_path}/out/a.png\n")


@pytest.mark.parametrize("size", [(4, 2000), (2000, 4), (3000, 1500)])
def test_overlay_of_a_long_or_large_photo_keeps_its_proportions(
    checkpoint: Path, tmp_path: Path, size: tuple[int, int]
):
    write_png(tmp_path / "a.png", np.zeros((*size, 3), np.uint8))
    predict_files([tmp_path / "a.png"], checkpoint, tmp_path / "out", 0.0, "cpu")
    shape = read_image(tmp_path / "out" / "a.png").shape
    assert max(shape) <= 2048
    assert shape[0] / shape[1] == pytest.approx(size[0] / size[1], rel=0.01)


def test_batches_flips_and_formats_change_what_they_say(checkpoint: Path, photo: Path, tmp_path: Path):
    """A photo gives the same in any batch; a mirrored photo gives the same mirrored; bfloat16 gives nearly the same."""
    for number, size in enumerate([(60, 40), (30, 90), (50, 70)]):
        noise = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        write_png(photo.with_name(f"{number}.png"), noise)
    found = {}
    for name, search in (("one", Search()), ("three", Search(batch_size=3)), ("flip", Search(flip=True))):
        predict_files([photo.parent], checkpoint, tmp_path / name, 0.0, "cpu", search=search, quiet=True)
        found[name] = {stem: read_json(tmp_path / name / f"{stem}.json") for stem in ("a", "0", "1", "2")}
    for stem, objects in found["one"].items():
        others = found["three"][stem]
        assert [one["score"] for one in objects] == pytest.approx([one["score"] for one in others], abs=1e-4)
        assert found["flip"][stem] != objects
    write_png(photo, read_image(photo)[:, ::-1])
    predict_files([photo], checkpoint, tmp_path / "mirrored", 0.0, "cpu", search=Search(flip=True))
    mirrored = read_json(tmp_path / "mirrored" / "a.json")
    scores = [[one["score"] for one in objects] for objects in (mirrored, found["flip"]["a"])]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    predict_files([photo], checkpoint, tmp_path / "half", 0.0, "cpu", search=Search(dtype="bfloat16"))
    assert read_json(tmp_path / "half" / "a.json") != []
    with pytest.raises(UsageError, match="--dtype int8: must be one of auto, float32, bfloat16"):
        Search(dtype="int8")


def test_large_photo_in_tiles_is_a_json_like_any_other(checkpoint: Path, tmp_path: Path):
    write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    predict_files([tmp_path / "a.png"], checkpoint, tmp_path / "out", 0.0, "cpu", search=Search(tiling=Tiling(150)))
    results = read_json(tmp_path / "out" / "a.json")
    assert len(results) > 20
    assert all(one["segmentation"]["size"] == [300, 400] for one in results)


# --- pre-annotations -------------------------------------------------------------------------------------------------


def test_what_is_drawn_is_what_is_pre_annotated(
    checkpoint: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    naming = Naming("thing")
    formats = list(ANNOTATION_TOOLS)
    predict_files([photo], checkpoint, tmp_path / "out", 0.0, "cpu", max_objects=3, formats=formats, naming=naming)
    assert names_in(tmp_path / "out") == sorted(["a.json", "a.png", *formats])
    coco = load_coco(tmp_path / "out/coco/annotations.json", photo.parent)
    lines = capsys.readouterr().out.splitlines()
    count = len(coco["annotations"])
    numbers = read_numbers(tmp_path / "out/instances/a.png")
    results = read_json(tmp_path / "out" / "a.json")
    assert numbers.shape == (50, 70) and set(np.unique(numbers)) <= set(range(len(results) + 1))
    best = to_mask(results[0]["segmentation"], 50, 70)
    assert (numbers[best > 0] == 1).all() and (numbers == 1).sum() == best.sum()
    assert f", {count} drawn -> " in lines[0]
    assert lines[1].startswith(f"coco: {count} object") and lines[1].endswith(f" in 1 photo -> {tmp_path}/out/coco")
    with pytest.raises(UsageError, match="out/coco: exists already"):
        predict_files([photo], NO_MODEL, tmp_path / "out", 0.0, "cpu", formats=["coco"])


def test_pre_annotations_hold_the_photos_before_one_that_is_none(checkpoint: Path, photo: Path, tmp_path: Path):
    bad = photo.with_name("b.png")
    bad.write_text("not an image")
    with pytest.raises(UserError, match=r"1 of 2 files was refused"):
        predict_files([photo, bad], checkpoint, tmp_path / "out", 0.3, "cpu", formats=["coco"])
    images = read_json(tmp_path / "out/coco/annotations.json")["images"]
    assert [image["file_name"] for image in images] == ["a.png"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--label", "x"], "--label x: needs --format"),
        (["--label", "", "--format", "coco"], "--label '': is empty"),
        (["--photo-url", "x", "--format", "coco"], "--photo-url x: needs --format labelstudio"),
        (["--format", "coco,cvatt"], "--format cvatt: is not one of coco, cvat, "),
    ],
)
def test_options_of_pre_annotations_that_do_nothing_are_refused(photo: Path, options: list[str], says: str):
    given = ["predict", str(photo), "--checkpoint", "absent.pt", "--output", "out", *options]
    result = CliRunner().invoke(app, given)
    assert isinstance(result.exception, UsageError) and str(result.exception).startswith(says)


@pytest.mark.parametrize("page", ["predict.md", "export.md"])
def test_examples_of_the_documentation_turn_photos_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str):
    monkeypatch.chdir(tmp_path)
    lying = Image.Exif()
    lying[0x0112] = 6
    Image.effect_noise((70, 50), 80).save("photo.jpg", exif=lying)
    text = (DEMO.parents[2] / "docs" / page).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"(import numpy|from PIL|names =|photos? =) ?.*", line)]
    variables: dict[str, Any] = {}
    exec("\n".join(lines), variables)
    read = variables["photo"] if page == "predict.md" else variables["photos"][0]
    assert np.array_equal(np.asarray(read), read_image(Path("photo.jpg")))
