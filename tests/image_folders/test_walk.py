"""A walk over photos that was interrupted resumes, and reuses nothing that is out of date."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import running
from vclr.errors import UserError
from vclr.file_lock import lock_file
from vclr.files import read_json, sha256
from vclr.generate.toy import render_scene
from vclr.image_folders import walk
from vclr.image_folders.open import open_folder
from vclr.image_folders.walk import Photos, Result, walk_photos
from vclr.object_proposals.write import write_proposals
from vclr.pictures import write_png
from vclr.views import write
from vclr.views.write import write_views


def draw_photo(path: Path, seed: int) -> None:
    write_png(path, np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for number in range(6):
        draw_photo(folder / f"photo{number}.png", number)
    return folder


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list to which each rendering adds its photo's stem."""
    stems: list[Any] = []
    render = write.render_view

    def note(view: str, image: np.ndarray, seed: int, stem: str, draw: Any) -> np.ndarray:
        stems.append(stem)
        return render(view, image, seed, stem, draw)

    monkeypatch.setattr(write, "render_view", note)
    return stems


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def begin(view: str, images: Path, output: Path, seed: int = 0) -> None:
    """Render all photos but the fourth, which is no image, and those that borrow from it."""
    good = (images / "photo3.png").read_bytes()
    (images / "photo3.png").write_bytes(b"not an image")
    manifest = read_json(write_views(view, images, output, seed, quiet=True))
    assert manifest["failed"]["photo3.png"] == "is not an image"
    (images / "photo3.png").write_bytes(good)


def test_what_other_code_rendered_is_not_used_again(
    images: Path, tmp_path: Path, rendered: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("edge", images, tmp_path / "edge")
    rendered.clear()
    monkeypatch.setattr(write, "hash_module", lambda module: "of another module")
    write_views("edge", images, tmp_path / "edge", quiet=True)
    assert len(rendered) == 6


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("views.pseudo_depth", ("pseudo_depth", "regions", "computed", "depth_colors")),
        ("views.style_model", ("adain", "vgg", "textures", "published_weights")),
        ("views.depth_model", ("pretrained", "depth_colors")),
        ("object_proposals.graph", ("graph_cues", "graph_merging")),
        ("object_proposals.sam", ("nms", "device")),
        ("object_proposals.rank", ("objectness", "merge", "shapes")),
        ("evaluation.detector_proposals", ("inference", "detector", "structures")),
    ],
)
def test_code_is_known_by_all_modules_that_it_computes_with(
    module: str, imported: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = import_module(f"vclr.{module}")
    before = walk.hash_module(opened)
    for name in (*imported, "errors"):
        monkeypatch.setattr(walk, "sha256", lambda path, name=name: "new" if path.stem == name else sha256(path))
        assert (walk.hash_module(opened) == before) == (name == "errors"), name


def test_what_a_killed_process_was_writing_is_removed(images: Path, tmp_path: Path) -> None:
    for name in (".p.json.123.partial", ".other.json.123.partial"):
        (tmp_path / name).touch()
    write_proposals("graph", images, tmp_path / "p.json", quiet=True)
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".other.json.123.partial"]


def test_photos_that_fail_are_left_out_listed_and_the_only_ones_made_again(
    images: Path, tmp_path: Path, rendered: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 4):
        (images / f"photo{number}.png").write_bytes(b"not an image")
    for _ in range(2):
        caplog.clear()
        rendered.clear()
        manifest = read_json(write_views("edge", images, tmp_path / "edge", quiet=True))
        assert manifest["failed"] == {f"photo{number}.png": "is not an image" for number in (1, 4)}
        assert [*manifest["files"]] == [f"photo{number}.png" for number in (0, 2, 3, 5)]
        [warning] = caplog.messages
        assert re.search(r"photo1\.png: is not an image \(2 of 6 photos failed and are left out, listed in .*", warning)
    assert rendered == [], "the finished ones are not made again"
    listed = (tmp_path / ".edge.work" / "failed.txt").read_text().splitlines()
    assert [line.rpartition("/")[2] for line in listed] == [
        "photo1.png: is not an image",
        "photo4.png: is not an image",
    ]
    draw_photo(images / "photo1.png", 1)
    (images / "photo4.png").unlink()
    write_views("edge", images, tmp_path / "edge", quiet=True)
    assert rendered == ["photo1"]
    assert len(read_folder(tmp_path / "edge")) == 6
    assert not (tmp_path / ".edge.work").exists()


def test_if_all_photos_fail_nothing_is_written(images: Path, tmp_path: Path) -> None:
    for photo in images.iterdir():
        photo.write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"photo0\.png: is not an image \(all of 6 photos failed\)"):
        write_views("edge", images, tmp_path / "edge", quiet=True)
    with pytest.raises(UserError, match=r"photo0\.png: is not an image \(all of 6 photos failed\)"):
        write_proposals("graph", images, tmp_path / "out.json", quiet=True)
    assert [*tmp_path.iterdir()] == [images]


def test_a_full_disk_is_said_with_the_file(images: Path, tmp_path: Path) -> None:
    photos, soft_and_hard = Photos(open_folder(images)), resource.getrlimit(resource.RLIMIT_FSIZE)

    def walk_on_full_disk() -> None:
        with walk_photos(tmp_path / "out", {}, photos.folder.image_names(), photos) as walk:
            walk.finish(photos.open, lambda items, _: [("x" * 5000, []) for _ in items], "texts", quiet=True)

    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, soft_and_hard[1]))  # of any file
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            walk_on_full_disk()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, soft_and_hard)
    assert raised.value.filename == str(tmp_path / ".out.work" / "journal.jsonl")
    walk_on_full_disk()  # now that there is space


@pytest.mark.parametrize("error", [UserError, MemoryError])
def test_a_batch_that_fails_is_computed_photo_by_photo(images: Path, tmp_path: Path, error: type[Exception]) -> None:
    photos, calls = Photos(open_folder(images)), []
    names = photos.folder.image_names()

    def compute(items: list[Any], inputs: list[Any]) -> list[Result]:
        calls.append(items)
        if len(items) > 2:
            raise error("too many")
        if "photo5.png" in items:
            raise UserError("not this one")
        return [(int(image.sum()), []) for image in inputs]

    with walk_photos(tmp_path / "out", {}, names, photos) as begun:
        begun.finish(photos.open, compute, "sums", quiet=True, batch_size=4)
        found = {entry["item"]: entry for entry in begun.entries()}
    assert calls == [names[:4], *([name] for name in names[:4]), names[4:], *([name] for name in names[4:])]
    assert begun.failed == [("photo5.png", "not this one")]
    assert {name: entry["result"] for name, entry in found.items()} == {
        name: int(photos.open(name).sum()) for name in names[:5]
    }
    assert all([*entry["sources"]] == [name] for name, entry in found.items())


@pytest.mark.parametrize(
    ("view", "seed", "again"), [("edge", 0, 1), ("fourier", 0, 2), ("edge", 1, 6), ("palette", 0, 6)]
)
def test_work_with_other_settings_is_not_taken_over(
    view: str, seed: int, again: int, images: Path, tmp_path: Path, rendered: list[Any]
) -> None:
    begin(view if view != "palette" else "edge", images, tmp_path / "out")
    rendered.clear()
    write_views(view, images, tmp_path / "out", seed, quiet=True)
    assert len(rendered) == again
    write_views(view, images, tmp_path / "fresh", seed, quiet=True)
    assert read_folder(tmp_path / "out") == read_folder(tmp_path / "fresh")


def test_work_on_photos_that_changed_is_not_taken_over(images: Path, tmp_path: Path, rendered: list[Any]) -> None:
    begin("edge", images, tmp_path / "edge")
    begin("fourier", images, tmp_path / "fourier")
    draw_photo(images / "photo0.png", 99)
    rendered.clear()
    write_views("edge", images, tmp_path / "edge", quiet=True)
    assert rendered == ["photo0", "photo3"]
    rendered.clear()
    draw_photo(images / "photo7.png", 7)
    write_views("fourier", images, tmp_path / "fourier", quiet=True)
    assert len(rendered) == 7, "another photo may be drawn for each"
    for view in ("edge", "fourier"):
        (images / "photo7.png").unlink(missing_ok=view == "fourier")
        draw_photo(images / "photo7.png", 7)
        write_views(view, images, tmp_path / "fresh" / view, quiet=True)
        write_views(view, images, tmp_path / view, quiet=True)
        assert read_folder(tmp_path / view) == read_folder(tmp_path / "fresh" / view)


def test_finished_work_is_verified(images: Path, tmp_path: Path, rendered: list[Any]) -> None:
    begin("edge", images, tmp_path / "edge")
    work, files = tmp_path / ".edge.work", tmp_path / "edge"
    (files / "photo1.png").write_bytes(b"cut off")
    (files / "photo2.png").unlink()
    (files / "stray.png").write_bytes(b"of a photo that is gone")
    lines = (work / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"photo0", b"photoX")
    (work / "journal.jsonl").write_bytes(b"".join(lines)[:-1])
    rendered.clear()
    write_views("edge", images, tmp_path / "edge", quiet=True)
    assert rendered == ["photo0", "photo1", "photo2", "photo3", "photo5"]
    write_views("edge", images, tmp_path / "fresh", quiet=True)
    assert read_folder(tmp_path / "edge") == read_folder(tmp_path / "fresh")


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("moment", ["old away", "new there"])
def test_an_end_while_the_output_is_replaced_costs_nothing(
    moment: str, is_done: bool, images: Path, tmp_path: Path, rendered: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_views("edge", images, tmp_path / "edge", quiet=True)
    draw_photo(images / "photo9.png", 9)
    replace = os.replace

    def end(source: Path, target: Path) -> None:
        is_moment = tmp_path / "edge" in ((source,) if moment == "old away" else (target,))
        if not is_moment or is_done:
            replace(source, target)
        if is_moment:
            raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", end)
    with pytest.raises(KeyboardInterrupt):
        write_views("edge", images, tmp_path / "edge", quiet=True)
    monkeypatch.setattr("os.replace", replace)
    rendered.clear()
    write_views("edge", images, tmp_path / "edge", quiet=True)
    assert rendered == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edge", "images"]
    write_views("edge", images, tmp_path / "fresh", quiet=True)
    assert read_folder(tmp_path / "edge") == read_folder(tmp_path / "fresh")


def test_one_process_at_a_time_writes_an_output(images: Path, tmp_path: Path) -> None:
    with (
        lock_file(tmp_path / ".edge.work" / "lock", "nobody"),
        pytest.raises(UserError, match="edge: another process is writing it; wait until that one has ended"),
    ):
        write_views("edge", images, tmp_path / "edge", quiet=True)
    write_views("edge", images, tmp_path / "edge", quiet=True)
    assert not (tmp_path / ".edge.work").exists()


def test_a_work_folder_that_another_process_has_just_removed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, open_file = tmp_path / ".edge.work" / "lock", Path.open

    def remove_and_open(path: Path, mode: str) -> Any:
        monkeypatch.undo()
        path.parent.rmdir()
        return open_file(path, mode)

    monkeypatch.setattr(Path, "open", remove_and_open)
    with lock_file(lock, "nobody"):
        assert lock.exists()
    with pytest.raises(FileExistsError):
        lock_file(lock / "below a file", "nobody", timeout=0)


def test_proposals_go_on_though_a_photo_is_gone(images: Path, tmp_path: Path) -> None:
    for number in range(3):
        write_png(images / f"photo{number}.png", render_scene(0, number, "train", size=64).natural)
    (images / "photo0.png").rename(tmp_path / "photo0.png")
    expected = write_proposals("graph", images, tmp_path / "fresh.json", quiet=True).read_bytes()
    (images / "photo0.png").write_bytes(b"not an image")
    made = read_json(write_proposals("graph", images, tmp_path / "out.json", quiet=True))
    assert list(made["info"]["failed"]) == ["photo0.png"] and len(made["images"]) == 5
    (images / "photo0.png").unlink()
    with open(tmp_path / ".out.json.work" / "journal.jsonl", "rb") as journal:  # outlives its name
        assert write_proposals("graph", images, tmp_path / "out.json", quiet=True).read_bytes() == expected
        assert len(journal.readlines()) == 5, "none was made again, though all have other numbers now"


# --- kill -9 ----------------------------------------------------------------------------------------------------------


def count_lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.mark.slow
def test_a_killed_command_repeats_no_finished_photo(tmp_path: Path) -> None:
    """`vclr views` is killed in tests/views/test_depth_files.py."""
    images, num_photos = tmp_path / "images", 16
    for number in range(num_photos):
        write_png(images / f"scene{number}.png", render_scene(0, number, "train", size=160).natural)
    command = [sys.executable, "-m", "vclr.cli", "proposals", "--images", str(images), "--quiet", "--output"]
    journal = tmp_path / ".out.json.work" / "journal.jsonl"
    for moment in (0, 6):
        with running([*command, str(tmp_path / "out.json")]) as process:
            deadline = time.monotonic() + 120
            while count_lines(journal) <= moment and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert moment < count_lines(journal) < num_photos
        assert not (tmp_path / "out.json").exists()
    with open(journal, "rb") as lines:  # which outlives its name
        subprocess.run([*command, str(tmp_path / "out.json")], check=True)
        items = [json.dumps(json.loads(line.partition(b" ")[2])["item"]) for line in lines]
    assert len(items) == len(set(items)) == num_photos
    write_proposals("graph", images, tmp_path / "whole.json", quiet=True)
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out.json", "whole.json"]
