"""Depth as files: the same bytes however they were made, colored wherever they are read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.processes import running
from tests.shared import PHOTOS
from vclr.depth_colors import colorize_depth, colorize_levels
from vclr.errors import UsageError, UserError
from vclr.file_lock import lock_file
from vclr.files import read_json
from vclr.generate.pack import pack_folder
from vclr.image_folders.open import open_folder
from vclr.pictures import read_image, read_numbers, write_png
from vclr.shards import Shard
from vclr.views.reader import ImageViews
from vclr.views.renderer import RenderOptions
from vclr.views.write import join_views, write_views

pytest.importorskip("transformers", reason="needs transformers")

from tests.tiny_models import save_dpt, save_zoedepth  # noqa: E402


@pytest.fixture(scope="module")
def dpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dpt(tmp_path_factory.mktemp("models") / "dpt")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of photos: of odd sizes, one turned by its EXIF data, and one that is no image."""
    folder = tmp_path / "images"
    for number, size in enumerate([(41, 67, 3), (30, 20, 3), (20, 20, 3), (64, 48, 3)]):
        write_png(folder / f"photo{number}.png", np.random.default_rng(number).integers(0, 256, size, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(folder / "photo0.png").save(folder / "turned.jpg", exif=exif)
    (folder / "broken.jpg").write_bytes((folder / "turned.jpg").read_bytes()[:300])
    return folder


def options(model: Path, **others: Any) -> RenderOptions:
    return RenderOptions(model=str(model), device="cpu", dtype="float32", **others)


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_of_photos_in_depth(dpt: Path, images: Path, tmp_path: Path) -> None:
    manifest = read_json(write_views("depth", images, tmp_path / "depth", quiet=True, options=options(dpt)))
    assert list(manifest["failed"]) == ["broken.jpg"]
    assert (manifest["view"], manifest["model"], manifest["depth_kind"]) == ("depth", "dpt", "inverse")
    assert (manifest["license"], manifest["dtype"], manifest["window"]) == ("apache-2.0", "float32", [2.0, 98.0])
    assert len(manifest["sha256"]) == 64
    names = ["photo0", "photo1", "photo2", "photo3", "turned"]
    assert [*manifest["files"]] == [f"{name}.png" for name in names]
    photos = open_folder(images)
    for name in names:
        photo = photos.open(f"{name}.jpg" if name == "turned" else f"{name}.png")
        levels = read_numbers(tmp_path / "depth" / f"{name}.png")
        assert levels.dtype == np.uint16 and levels.shape == (photo.height, photo.width)
        assert len(manifest["files"][f"{name}.png"]["inverse_depth"]) == 2
    assert read_numbers(tmp_path / "depth" / "turned.png").shape == (67, 41), "upright"


def test_the_same_bytes_twice_in_shards_and_in_processes(dpt: Path, images: Path, tmp_path: Path) -> None:
    write_views("depth", images, tmp_path / "whole", quiet=True, options=options(dpt))
    write_views("depth", images, tmp_path / "again", quiet=True, options=options(dpt))
    parts = [tmp_path / "shards" / str(number) for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        write_views("depth", images, part, quiet=True, shard=Shard(number, 3), options=options(dpt))
    join_views(parts, tmp_path / "joined")
    assert read_folder(tmp_path / "again") == read_folder(tmp_path / "whole") == read_folder(tmp_path / "joined")


def test_shards_of_two_models_are_not_joined(dpt: Path, images: Path, tmp_path: Path) -> None:
    zoedepth = save_zoedepth(tmp_path / "zoedepth")
    for number, model in enumerate([dpt, zoedepth], start=1):
        write_views("depth", images, tmp_path / str(number), quiet=True, shard=Shard(number, 2), options=options(model))
    with pytest.raises(Exception, match="2: its model is zoedepth, that of .*1 dpt"):
        join_views([tmp_path / "1", tmp_path / "2"], tmp_path / "joined")


def test_a_license_that_the_hub_did_not_tell_costs_nothing(dpt: Path, images: Path, tmp_path: Path) -> None:
    (silent := shutil.copytree(dpt, tmp_path / "silent" / "dpt")).joinpath("README.md").unlink()
    models = {1: silent, 2: dpt}
    for number, model in models.items():
        part = tmp_path / str(number)
        write_views("depth", images, part, quiet=True, shard=Shard(number, 2), options=options(model))
        facts = read_json(part / "manifest.json")
        assert ("license" in facts) == (number == 2)
        (part / "manifest.json").write_text(json.dumps({**facts, "sha256": "of a revision"}))
    assert read_json(join_views([tmp_path / "1", tmp_path / "2"], tmp_path / "joined"))["license"] == "apache-2.0"


def test_every_reader_gets_colors(dpt: Path, images: Path, tmp_path: Path) -> None:
    (images / "broken.jpg").unlink()
    write_views("depth", images, tmp_path / "depth", quiet=True, options=options(dpt))
    names = ["photo0.png", "photo3.png", "turned.jpg"]
    expected = [colorize_levels(read_numbers(tmp_path / "depth" / f"{Path(name).stem}.png")) for name in names]
    assert np.array_equal(read_image(tmp_path / "depth" / "photo0.png"), expected[0])
    pack_folder(tmp_path / "depth", remove=False, overwrite=False, quiet=True)
    for folder in ("depth", "depth.zip"):
        views = ImageViews(open_folder(images), {"depth": str(tmp_path / folder)}, 0, names)
        for index, colors in enumerate(expected):
            size = colors.shape[0], colors.shape[1]
            assert np.array_equal(np.asarray(views.read("depth", index, size, None)), colors)


def test_near_is_bright_and_gray_of_others_stays_gray(tmp_path: Path) -> None:
    levels = np.array([[0, 1, 30000, 65535]], np.uint16)
    write_png(tmp_path / "depth.png", levels, texts={"Inverse depth": "0.0 1.0"})
    write_png(tmp_path / "gray.png", levels)
    colors = read_image(tmp_path / "depth.png")
    assert np.array_equal(colors, colorize_depth(levels / 65535))
    assert (np.diff(colors.astype(int).sum(axis=2)) >= 0).all() and colors[0, -1].sum() > 600 > 50 > colors[0, 0].sum()
    assert read_image(tmp_path / "gray.png")[0, :, 0].tolist() == [0, 0, 30000 >> 8, 255]


def test_files_as_the_reference_has_them(dpt: Path, images: Path, tmp_path: Path) -> None:
    write_views("depth", images, tmp_path / "depth", quiet=True, options=options(dpt))
    manifest = write_views("depth", images, tmp_path / "cmap", quiet=True, options=options(dpt), layout="reference")
    assert read_json(manifest)["layout"] == "reference"
    for path in (tmp_path / "cmap").glob("*.png"):
        with Image.open(path) as image:
            assert image.mode == "RGB"
        assert np.array_equal(read_image(path), read_image(tmp_path / "depth" / path.name))
    with pytest.raises(UsageError, match="--layout theirs: must be reference, or left out"):
        write_views("depth", images, tmp_path / "other", quiet=True, options=options(dpt), layout="theirs")


@pytest.mark.slow
def test_a_large_and_a_tiny_photo(dpt: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.linear_gradient("L").resize((8000, 6000)).save(tmp_path / "images" / "large.jpg")
    Image.new("RGB", (20, 20), "red").save(tmp_path / "images" / "tiny.png")
    write_views("depth", tmp_path / "images", tmp_path / "depth", quiet=True, options=options(dpt))
    assert read_numbers(tmp_path / "depth" / "large.png").shape == (6000, 8000)
    assert read_numbers(tmp_path / "depth" / "tiny.png").shape == (20, 20)


# --- processes --------------------------------------------------------------------------------------------------------


def command(model: Path, images: Path, output: Path, *others: str) -> list[str]:
    words = ["views", "--view", "depth", "--images", str(images), "--output", str(output), "--model", str(model)]
    return [*words, "--device", "cpu", "--dtype", "float32", "--quiet", *others]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_2000_photos_in_4_processes_that_are_killed_in_the_middle(dpt: Path, tmp_path: Path) -> None:
    images = link_photos(tmp_path / "images", 2000)
    words = [sys.executable, "-m", "vclr.cli", *command(dpt, images, tmp_path / "depth", "--num-gpus", "4")]
    work = tmp_path / ".depth.shards"
    journals = [work / f".{number}of4.work" / "journal.jsonl" for number in (1, 2, 3, 4)]
    with running(words) as process:
        wait_for(lambda: all(count_lines(journal) > 20 for journal in journals), process)
        os.kill(process.pid, signal.SIGKILL)  # the shards die with it
    wait_for(lambda: all(map(is_unlocked, journals)), process)
    assert all(20 < count_lines(journal) < 500 for journal in journals) and not (tmp_path / "depth").exists()
    with ExitStack() as stack:
        opened = [stack.enter_context(open(journal, "rb")) for journal in journals]  # they outlive their names
        subprocess.run(words, check=True)
        items = [json.loads(line.partition(b" ")[2])["item"] for journal in opened for line in journal]
    assert len(items) == len(set(items)) == 2000, "no photo was rendered twice"
    write_views("depth", images, tmp_path / "whole", quiet=True, options=options(dpt))
    assert read_folder(tmp_path / "depth") == read_folder(tmp_path / "whole")
    assert len(read_folder(tmp_path / "depth")) == 2001 and not work.exists()


def link_photos(folder: Path, count: int) -> Path:
    """Fill a folder with thumbnails of the photos of tiny COCO, again and again under other names."""
    if not PHOTOS.exists():
        pytest.skip("needs VCLR_SHARED")
    small = folder.with_name("small")
    small.mkdir()
    folder.mkdir()
    for path in (PHOTOS / "images").iterdir():
        with Image.open(path) as photo:
            photo.thumbnail((96, 96))
            photo.convert("RGB").save(small / path.name)
    photos = sorted(small.iterdir())
    for number in range(count):
        photo = photos[number % len(photos)]
        (folder / f"{number:05}{photo.suffix}").symlink_to(photo)
    return folder


def count_lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def is_unlocked(journal: Path) -> bool:
    try:
        lock_file(journal.with_name("lock"), "").close()
    except UserError:
        return False
    return True


def wait_for(is_so: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_so(), f"two minutes have passed; the process returned {process.poll()}"
