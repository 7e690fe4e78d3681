"""Views as files: whole or absent, the same as in the loader, and never over the photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vclr.errors import UsageError, UserError
from vclr.files import read_image, read_json, sha256, write_png
from vclr.generate.views import write_views
from vclr.ops.appearance import COMPUTED_VIEWS, render_view


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


def test_the_same_call_gives_the_same_manifest(images: Path, tmp_path: Path) -> None:
    first = write_views("fourier", images, tmp_path / "view", quiet=True).read_bytes()
    assert write_views("fourier", images, tmp_path / "view", quiet=True).read_bytes() == first
    assert write_views("fourier", images, tmp_path / "other", seed=1, quiet=True).read_bytes() != first


def test_a_file_that_is_no_image_leaves_the_earlier_rendering(images: Path, tmp_path: Path) -> None:
    manifest = write_views("edge", images, tmp_path / "views" / "edge", quiet=True)
    before = manifest.read_bytes()
    (images / "photo9.jpg").write_text("not an image")
    with pytest.raises(UserError, match=r"photo9\.jpg: is not an image"):
        write_views("edge", images, tmp_path / "views" / "edge", quiet=True)
    with pytest.raises(UserError, match=r"photo9\.jpg: is not an image"):
        write_views("palette", images, tmp_path / "views" / "palette", quiet=True)
    assert manifest.read_bytes() == before
    assert [path.name for path in (tmp_path / "views").iterdir()] == ["edge"]


def test_misuse_is_refused_and_nothing_is_lost(images: Path, tmp_path: Path) -> None:
    photos = sorted(images.iterdir())
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    for view, output, message in [
        ("edges", tmp_path / "out", "nearest: edge"),
        ("edge", images, "folder of their own"),
        ("edge", tmp_path, "folder of their own"),
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
