"""The doctor's findings about names: files with another spelling, links, duplicate classes and ids."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from tests.data.doctor.world import World, notes, only, wrong
from vclr.data.doctor.check import DataSet, check_files
from vclr.data.doctor.report import Report
from vclr.data.samples import TrainingSamples
from vclr.errors import UserError
from vclr.finding import ERROR, WARNING
from vclr.worker_pool import WorkerPool

NFC, NFD = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
NATURAL = ("views.weights={natural: 1}", "data.train.proposals=''")


def check(world: World) -> Report:
    """Check the photos without their views, which tests do not rename."""
    world.write()
    return check_files(DataSet(world.folder / "a.json", world.folder / "images"), WorkerPool(), decode=False)


def rename(world: World, file: str, name: str) -> None:
    """Give the photo b.png one name on disk and another one in its entry."""
    (world.folder / "images" / file).parent.mkdir(exist_ok=True)
    (world.folder / "images" / "b.png").rename(world.folder / "images" / file)
    world.images[1]["file_name"] = name


@pytest.mark.parametrize(("file", "name"), [("x/b.png", "x\\b.png"), (NFC, NFD), (NFD, NFC), ("x\\b.png", "x/b.png")])
def test_other_spellings_are_found_and_said(world: World, file: str, name: str):
    rename(world, file, name)
    report = check(world)
    assert not wrong(report)
    assert f"in 1 of 3 names ({name} is {file}, for example); the files were found" in notes(report)["names"]
    samples = TrainingSamples(world.config(*NATURAL))
    assert len(samples) == 3
    assert samples.images.open(1).size == (60, 40)


@pytest.mark.parametrize(
    ("file", "name"),
    [("B.PNG", "b.png"), ("my photo.png", "my%20photo.png"), ("x/b.png", "b.png"), ("b.jpeg", "b.jpg")],
)
def test_a_file_that_was_meant_is_named(world: World, file: str, name: str):
    rename(world, file, name)
    says = only(check(world), "name of an image", ERROR)
    assert f"images/{name}: does not exist; nearest: {world.folder}/images/{file}; refused" in says
    with pytest.raises(UserError) as caught:
        TrainingSamples(world.config(*NATURAL))
    assert str(caught.value).endswith(f"images/{name} does not exist; nearest: {world.folder}/images/{file}")


def test_the_photo_of_another_entry_is_not_meant(world: World):
    (world.folder / "images" / "b.png").unlink()
    world.images[1]["file_name"] = "deep/a.png"
    world.images[2]["file_name"] = "./c.png"
    only(check(world), "missing image", ERROR)
    with pytest.raises(UserError, match=r"deep/a\.png does not exist$"):
        TrainingSamples(world.config(*NATURAL))


def test_links_out_of_the_folder_are_said_and_followed(world: World, tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (world.folder / "images" / "a.png").rename(disk / "1.png")
    (world.folder / "images" / "a.png").symlink_to(disk / "1.png")
    os.symlink("c.png", world.folder / "images" / "again.png")  # a link within the folder is not worth a word
    report = check(world)
    assert not wrong(report)
    assert f"elsewhere: 1 of 3 photos (a.png -> {disk.resolve()}/1.png, for example)" in notes(report)["links"]


def test_one_id_of_two_classes(world: World):
    world.categories.append({"id": 1, "name": "cup"})
    says = only(world.check(), "id of two categories", ERROR)
    assert "a.json: categories[2]: id 1 is 'cup' here, but 'dog' in categories[0]" in says


@pytest.mark.parametrize(("name", "says"), [("dog", "2 categories are called 'dog'"), ("Dog ", "'dog' and 'Dog '")])
def test_one_name_of_two_classes(world: World, name: str, says: str):
    world.categories.append({"id": 3, "name": name})
    assert says in only(world.check(), "class name twice", WARNING)


def test_ids_as_text_are_told_from_numbers(world: World):
    world.annotations[0]["image_id"] = "0"
    assert "image '0' is not in `images` (it has the number 0)" in only(
        world.check(), "annotation without image", ERROR
    )


def test_proposals_of_other_names_for_the_same_files(world: World):
    for image in world.proposals["images"]:
        image["file_name"] = f"./{image['file_name']}"
    report = world.check_config()
    assert not wrong(report)
    assert "p.json: 1 proposals for 1 of 3 photos of the training set" in notes(report)["proposals"]
    for image in world.proposals["images"]:
        image["file_name"] += ".jpg"
    assert "3 of 3 images are not in the training set; refused" in only(
        world.check_config(), "proposals of other photos", ERROR
    )
