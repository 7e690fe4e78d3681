"""Views as files: whole or absent, the same as in the loader, and never over the photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vclr.catalog.views import COMPUTED_VIEWS
from vclr.errors import UsageError, UserError
from vclr.files import read_json, sha256, write_json
from vclr.pictures import read_image, write_png
from vclr.shards import Shard
from vclr.views.computed import render_view
from vclr.views.renderer import RenderOptions
from vclr.views.write import join_views, write_views


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for number, size in enumerate([(24, 32, 3), (30, 20, 3), (16, 16, 3)]):
        write_png(folder / f"photo{number}.png", np.random.default_rng(number).integers(0, 256, size, np.uint8))
    return folder


@pytest.mark.parametrize("view", COMPUTED_VIEWS)
def test_files_hold_what_the_loader_computes(view: str, images: Path, tmp_path: Path) -> None:
    manifest = write_views(view, images, tmp_path / view, seed=5, quiet=True)
    photos = [read_image(path) for path in sorted(images.iterdir())]
    for number, photo in enumerate(photos):
        expected = render_view(view, photo, 5, f"photo{number}", lambda random: photos[int(random.integers(3))])
        assert np.array_equal(read_image(tmp_path / view / f"photo{number}.png"), expected)
    facts = read_json(manifest)
    assert (facts["view"], facts["seed"], facts["num_files"]) == (view, 5, 3)
    assert facts["files"]["photo1.png"]["sha256"] == sha256(tmp_path / view / "photo1.png")


def test_a_control_is_no_view_to_train_on(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="view shuffled_patch: is a control, which only `vclr probe` renders"):
        write_views("shuffled_patch", images, tmp_path / "views", quiet=True)
    assert not (tmp_path / "views").exists()


def test_the_same_call_gives_the_same_manifest(images: Path, tmp_path: Path) -> None:
    first = write_views("fourier", images, tmp_path / "view", quiet=True).read_bytes()
    assert write_views("fourier", images, tmp_path / "view", quiet=True).read_bytes() == first
    assert write_views("fourier", images, tmp_path / "other", seed=1, quiet=True).read_bytes() != first


def test_a_file_that_is_no_image_is_left_out(images: Path, tmp_path: Path) -> None:
    before = write_views("edge", images, tmp_path / "edge", quiet=True).read_bytes()
    (images / "photo9.jpg").write_text("not an image")
    manifest = read_json(write_views("edge", images, tmp_path / "edge", quiet=True))
    assert manifest["failed"] == {"photo9.jpg": "is not an image"}
    assert manifest["num_files"] == 3
    parts = write_shards("edge", images, tmp_path / "shards", 2)
    write_views("edge", images, tmp_path / "whole", seed=5, quiet=True)
    join_views(parts, tmp_path / "joined")
    assert (tmp_path / "joined" / "manifest.json").read_bytes() == (tmp_path / "whole" / "manifest.json").read_bytes()
    (images / "photo9.jpg").unlink()
    assert write_views("edge", images, tmp_path / "edge", quiet=True).read_bytes() == before


def test_a_finished_rendering_is_verified_if_its_record_was_kept(images: Path, tmp_path: Path) -> None:
    written = write_views("edge", images, tmp_path / "edge", quiet=True, keep_work=True)
    expected = {path.name: path.read_bytes() for path in written.parent.iterdir()}
    before = (tmp_path / "edge" / "photo1.png").stat().st_mtime_ns
    (tmp_path / "edge" / "photo0.png").write_bytes(b"damaged")
    (tmp_path / "edge" / "photo2.png").unlink()
    write_views("edge", images, tmp_path / "edge", quiet=True, keep_work=True)
    assert {path.name: path.read_bytes() for path in written.parent.iterdir()} == expected
    assert (tmp_path / "edge" / "photo1.png").stat().st_mtime_ns == before, "was not rendered again"


def test_misuse_is_refused_and_nothing_is_lost(images: Path, tmp_path: Path) -> None:
    photos = sorted(images.iterdir())
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    for view, output, message in [
        ("edges", tmp_path / "out", "nearest: edge"),
        ("edge", images, "choose another folder for the views"),
        ("edge", tmp_path, "choose another folder for the views"),
        ("edge", precious, r"no manifest\.json"),
        ("edge", photos[0], "is a file"),
    ]:
        with pytest.raises(UsageError, match=message):
            write_views(view, images, output, quiet=True)
    assert sorted(images.iterdir()) == photos
    assert (precious / "thesis.txt").is_file()
    assert not (tmp_path / "out").exists()


def test_two_photos_of_one_stem_are_refused(images: Path, tmp_path: Path) -> None:
    (images / "photo1.jpg").write_bytes((images / "photo1.png").read_bytes())
    with pytest.raises(UserError, match=r"photo1\.png: has the stem of photo1\.jpg"):
        write_views("edge", images, tmp_path / "edge", quiet=True)


def test_files_without_a_manifest_are_replaced_on_request(images: Path, tmp_path: Path) -> None:
    """Snakemake deletes the manifest, an output of its, before it has the view rendered again."""
    manifest = write_views("edge", images, tmp_path / "edge", quiet=True)
    before = manifest.read_bytes()
    manifest.unlink()
    (tmp_path / "edge" / "photo9.png").write_bytes(b"of a photo that is gone")
    assert write_views("edge", images, tmp_path / "edge", quiet=True, overwrite=True).read_bytes() == before
    assert len(list((tmp_path / "edge").iterdir())) == 4
    with pytest.raises(UsageError, match="choose another folder for the views"):
        write_views("edge", images, images, quiet=True, overwrite=True)


# --- shards ----------------------------------------------------------------------------------------------------------


def write_shards(view: str, images: Path, folder: Path, count: int) -> list[Path]:
    parts = [folder / f"{number}of{count}" for number in range(1, count + 1)]
    for number, part in enumerate(parts, start=1):
        write_views(view, images, part, seed=5, quiet=True, shard=Shard(number, count))
    return parts


@pytest.mark.parametrize(("view", "count"), [("edge", 2), ("fourier", 3), ("random_conv", 1), ("palette", 5)])
def test_shards_joined_are_the_bytes_of_one_rendering(view: str, count: int, images: Path, tmp_path: Path) -> None:
    write_views(view, images, tmp_path / "whole", seed=5, quiet=True)
    parts = write_shards(view, images, tmp_path / "shards", count)
    before = {path: path.read_bytes() for path in (tmp_path / "shards").rglob("*.*")}
    join_views(parts[::-1], tmp_path / "joined")
    whole, joined = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "joined")
    )
    assert joined == whole
    assert {path: path.read_bytes() for path in (tmp_path / "shards").rglob("*.*")} == before
    assert [read_json(part / "manifest.json")["num_files"] for part in parts].count(0) == max(0, count - 3)


def test_pictures_are_copied_where_there_are_no_links(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    before = write_views("edge", images, tmp_path / "edge", seed=5, quiet=True).read_bytes()
    parts = write_shards("edge", images, tmp_path / "shards", 2)
    monkeypatch.setattr("os.link", refuse)
    assert join_views(parts, tmp_path / "edge").read_bytes() == before
    assert read_image(tmp_path / "edge" / "photo2.png").shape == (16, 16, 3)


def test_shards_that_make_no_whole_leave_the_earlier_rendering(images: Path, tmp_path: Path) -> None:
    whole = write_views("edge", images, tmp_path / "views" / "edge", quiet=True)
    before = whole.read_bytes()
    first, second = write_shards("edge", images, tmp_path / "shards", 2)
    copy = shutil.copytree(whole.parent, tmp_path / "copy")
    other = write_views("palette", images, tmp_path / "other", seed=5, quiet=True, shard=Shard(2, 2))
    short = write_views("edge", images, tmp_path / "short", seed=5, quiet=True, shard=Shard(2, 2))
    (short.parent / "photo1.png").write_bytes(b"cut off")
    write_png(images / "photo3.png", np.zeros((8, 8, 3), np.uint8))
    later = write_views("edge", images, tmp_path / "later", seed=5, quiet=True, shard=Shard(2, 2))
    for part, message in [
        (copy, "was not written by a shard"),
        (other.parent, "its view is palette, that of .*1of2 edge"),
        (short.parent, r"photo1\.png: is not what .*manifest\.json says"),
        (later.parent, "its num_photos is 4, that of .*1of2 3"),
        (tmp_path / "nowhere", r"nowhere/manifest\.json: cannot be read"),
    ]:
        with pytest.raises(UserError, match=message):
            join_views([first, part], whole.parent)
    with pytest.raises(UserError, match="shard 1 is missing"):
        join_views([second], whole.parent)
    write_json(second / "manifest.json", {**read_json(second / "manifest.json"), "sources": {}})
    with pytest.raises(UserError, match="is of 3 photos, the shards together have 1"):
        join_views([first, second], whole.parent)
    with pytest.raises(UsageError, match="contains the shards"):
        join_views([first, second], tmp_path / "shards")
    assert whole.read_bytes() == before
    assert [path.name for path in whole.parents[1].iterdir()] == ["edge"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../evil.png", r"file '\.\./\.\./evil\.png' of its manifest\.json leaves the folder"),
        ("/tmp/evil.png", "leaves the folder"),
        ("..\\evil.png", "leaves the folder"),
        ("absent.png", r"absent\.png: is missing"),
    ],
)
def test_a_shard_names_nothing_outside_of_it(images: Path, tmp_path: Path, name: str, message: str) -> None:
    parts = write_shards("edge", images, tmp_path / "shards", 2)
    write_png(parts[0] / "evil.png", np.zeros((8, 8, 3), np.uint8))
    manifest = read_json(parts[0] / "manifest.json")
    manifest["files"][name] = manifest["files"]["photo0.png"]
    write_json(parts[0] / "manifest.json", manifest)
    with pytest.raises(UserError, match=message):
        join_views(parts, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    assert not list(tmp_path.glob("evil.png"))


def test_a_folder_of_another_command_is_not_replaced(images: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "raw" / "manifest.json", {"source": "toy", "files": {}})
    with pytest.raises(UsageError, match=r"contains files but no manifest\.json of a view; choose another folder"):
        write_views("edge", images, tmp_path / "raw", quiet=True)
    (tmp_path / "link").symlink_to(tmp_path / "raw", target_is_directory=True)
    with pytest.raises(UsageError, match="link: is a link"):
        write_views("edge", images, tmp_path / "link", quiet=True)
    assert read_json(tmp_path / "raw" / "manifest.json")["source"] == "toy"


def test_a_rendering_never_replaces_what_it_reads(images: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    write_views("edge", images, tmp_path / "styles", quiet=True)  # a view is replaced without --overwrite
    for output, message in [
        (tmp_path / "styles", "contains the style pictures"),
        (weights, "contains the weights"),
    ]:
        options = RenderOptions(weights=weights, styles=tmp_path / "styles")
        with pytest.raises(UsageError, match=message):
            write_views("style", images, output, quiet=True, overwrite=True, options=options)
    options = RenderOptions(model=str(weights))
    with pytest.raises(UsageError, match="contains the model"):
        write_views("depth", images, weights, quiet=True, overwrite=True, options=options)
    assert len(list((tmp_path / "styles").iterdir())) == 4


def test_photos_in_subfolders_are_named(images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    below = images / "more"
    below.mkdir()
    shutil.copy(images / "photo1.png", below / "x.png")
    (images / "folder.jpg").mkdir()
    assert read_json(write_views("edge", images, tmp_path / "out", quiet=True))["num_files"] == 3
    assert "1 photo in subfolders left out (more/x.png, for example); run the command for each" in caplog.text
    write_views("edge", below, tmp_path / "out" / "more", quiet=True)
    with pytest.raises(UsageError, match="contains the folder more, which would be lost"):
        write_views("edge", images, tmp_path / "out", quiet=True)
    for photo in images.glob("*.png"):
        photo.unlink()
    with pytest.raises(UserError, match=r"contains no images .*; name the subfolder \(more/x.png"):
        write_views("edge", images, tmp_path / "out", quiet=True)


def test_every_format_that_is_read_is_rendered(tmp_path: Path) -> None:
    suffixes = ["gif", "ppm", "jp2", "webp", "bmp", "tif"]
    for suffix in suffixes:
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (9, 7), "red").save(tmp_path / f"images/{suffix}.{suffix}")
    assert read_json(write_views("gray", tmp_path / "images", tmp_path / "out", quiet=True))["num_files"] == 6


def test_one_shard_given_twice_is_refused(images: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        write_views("edge", images, tmp_path / str(number), quiet=True, shard=Shard(number, 2))
    with pytest.raises(UserError, match="is shard 1/2, and so is"):
        join_views([tmp_path / "1", tmp_path / "1", tmp_path / "2"], tmp_path / "joined")
