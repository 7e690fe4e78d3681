"""Photos and their files: each kind of damage gives one finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.doctor.world import HEIGHT, NAMES, WIDTH, World, notes, only, wrong
from vclr.data.doctor.check import DataSet, check_files
from vclr.data.doctor.kinds import REFUSED
from vclr.finding import ERROR, WARNING
from vclr.pictures import write_png
from vclr.worker_pool import WorkerPool


def test_missing_image(world: World):
    (world.folder / "images" / "b.png").unlink()
    says = only(world.check(), "missing image", ERROR)
    assert f"a.json: images[1] (id 1): {world.folder}/images/b.png: does not exist; refused" in says


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_unreadable_image(world: World, damage: str):
    path = world.folder / "images" / "b.png"
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    write_png(path, noise)
    path.write_bytes(b"not an image" if damage == "text" else path.read_bytes()[:-900])
    says = only(world.check(), "unreadable image", ERROR)
    assert f"images[1] (id 1): {path}: " in says
    assert "stops training when it is read; stops evaluation when it is read" in says
    assert bool(wrong(world.check(decode=False))) == (damage == "text"), "the pixels are not looked at"


@pytest.mark.parametrize("decode", [True, False])
def test_image_of_another_size(world: World, decode: bool):
    write_png(world.folder / "images" / "b.png", np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8))
    says = only(world.check(decode), "size of an image", ERROR)
    assert "images[1] (id 1)" in says
    assert "is 61x40, but the entry says 60x40; stops training when it is read" in says


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_turned_image(world: World, suffix: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, size in ((1, (WIDTH, HEIGHT)), (2, (HEIGHT, WIDTH))):
        world.images[number]["file_name"] = f"{NAMES[number][0]}{suffix}"
        Image.new("RGB", size).save(world.folder / "images" / world.images[number]["file_name"], exif=exif)
    for decode in (True, False):
        report = world.check(decode)
        says = only(report, "size of an image", ERROR)
        assert "images[1]" in says
        assert "is 40x60 turned upright by its EXIF data, but the entry says 60x40" in says
        assert "EXIF data turn 2 of 3 photos upright" in notes(report)["turned photos"]


def write_kind(path: Path, kind: str) -> None:
    """Write a picture of the world's size with pixels of an unusual kind."""
    ramp = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))
    if kind == "16 bits":
        Image.fromarray((ramp * 600).astype(np.uint16)).save(path, format="TIFF")
    elif kind == "float":
        Image.fromarray((ramp / 100).astype(np.float32)).save(path, format="TIFF")
    elif kind == "32 bits":
        Image.fromarray((ramp * 600).astype(np.int32)).save(path, format="TIFF")


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("float", "floating-point pixels are not read; save it with 8 bits per channel"),
        ("32 bits", "32 bits per channel are not read; save it with 8 bits per channel"),
        ("16 bits", ""),
    ],
)
def test_pixels_that_cannot_be_shown_are_an_error(world: World, kind: str, says: str, decode: bool):
    for folder, topic in (("images", "unreadable image"), ("depth", "unreadable view")):
        before = (world.folder / folder / "b.png").read_bytes()
        write_kind(world.folder / folder / "b.png", kind)
        report = world.check(decode)
        assert says in only(report, topic, ERROR) if says else wrong(report) == []
        (world.folder / folder / "b.png").write_bytes(before)


def test_view_may_have_any_suffix_of_an_image(world: World):
    (world.folder / "depth" / "b.png").unlink()
    write_kind(world.folder / "depth" / "b.tiff", "16 bits")
    assert wrong(world.check()) == []


def test_photos_of_several_frames_are_said(world: World):
    frames = [Image.new("RGB", (WIDTH, HEIGHT), color) for color in ("red", "blue")]
    frames[0].save(world.folder / "images" / "b.png", save_all=True, append_images=frames[1:])
    report = world.check()
    assert wrong(report) == []
    assert "several frames or pages in 1 of 3 photos (b.png, for example)" in notes(report)["photos of several frames"]


def test_other_images_in_the_folder(world: World):
    for name in ("z.png", "y.JPG", "list.txt"):
        (world.folder / "images" / name).write_text("")
    report = world.check()
    assert wrong(report) == []
    assert "not used, because no entry names them: 2 images (y.JPG, for example)" in notes(report)["other images"]


def test_images_in_folders(world: World):
    write_png(world.folder / "images" / "more" / "b.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    write_png(world.folder / "depth" / "more" / "b.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    world.images[1]["file_name"] = "more/b.png"
    report = world.check()
    assert wrong(report) == []
    assert "because no entry names them: 1 images (b.png, for example)" in notes(report)["other images"]


def test_image_without_object(world: World):
    world.annotations = world.annotations[:5]
    world.annotations[4]["iscrowd"] = 1
    assert "(id 2, c.png): has only crowds; left out" in only(world.check(), "image without object", WARNING)
    del world.annotations[4]
    assert "images[2] (id 2, c.png): has no annotations; left out" in only(
        world.check(), "image without object", WARNING
    )
    keep = "dataloader.train.dataset.filter_empty=False"
    assert only(world.check_config(keep), "image without object", WARNING).endswith("has no annotations; left out")
    assert "trained on as background" in notes(world.check_config(keep))["image without object"]
    report = world.check_config()  # with proposals
    assert "c.png): has no annotations; trained on if it has a proposal" in notes(report)["image without object"]
    assert only(report, "image without object", WARNING).endswith("has no annotations; left out"), "of the test set"


def test_no_object_at_all(world: World):
    world.annotations = []
    errors = [finding for finding in wrong(world.check()) if finding.level == ERROR]
    assert [finding.says for finding in errors] == [
        f"{world.folder}/a.json: has no image with an object; refused before anything starts"
    ]


def test_same_file_twice(world: World):
    world.images[1]["file_name"] = "./a.png"
    says = only(world.check(), "same file twice", WARNING)
    assert "images[1] (id 1): ./a.png is also the file of images[0]; trained on as two images" in says


def test_same_stem(world: World):
    (world.folder / "images" / "b.png").rename(world.folder / "images" / "a.bmp")
    world.images[1]["file_name"] = "a.bmp"
    says = only(world.check(), "same stem", ERROR)
    assert (
        "images[1] (id 1): a.bmp has the same stem as a.png (images[0]); both are trained with the same view files"
        in says
    )
    report = check_files(DataSet(world.folder / "a.json", world.folder / "images"), WorkerPool())
    assert "refused by `vclr views`" in only(report, "same stem", WARNING)


def test_wrong_image_entry_is_said_once(world: World):
    """Its annotations are not reported."""
    del world.images[1]["height"]
    assert "images[1]: has no `height`; refused" in only(world.check(), "form of an entry", ERROR)


def test_images_and_annotations_without_ids_are_each_named(world: World):
    del world.images[1]["id"], world.annotations[2]["image_id"], world.annotations[3]
    assert [finding.says.split(": ", 1)[1] for finding in wrong(world.check())] == [
        "images[1]: has no `id`; refused before anything starts",
        "annotations[2]: has no `image_id`; refused before anything starts",
    ]


def test_image_id_twice(world: World):
    world.images[2]["id"] = 0
    world.annotations = world.annotations[:4]
    assert "images[2]: id 0 occurs twice; refused" in only(world.check(), "id that occurs twice", ERROR)


@pytest.mark.parametrize("text", ['{"images": [', "[]", "\x00"])
def test_unreadable_json(world: World, text: str):
    (world.folder / "a.json").write_text(text)
    assert "a.json: " in only(check_files(world.files(), WorkerPool()), "json", ERROR)


def test_missing_files(world: World):
    world.write()
    files = DataSet(world.folder / "absent.json", world.folder / "absent", {"depth": world.folder / "absent"})
    assert [finding.says for finding in wrong(check_files(files, WorkerPool()))] == [
        f"--annotations {world.folder}/absent.json: does not exist; nearest: {world.folder}/a.json; {REFUSED}",
        f"--images {world.folder}/absent: does not exist; {REFUSED}",
    ]
    files = DataSet(world.folder / "a.json", world.folder / "a.json")
    assert "a.json: is not a folder; refused" in only(check_files(files, WorkerPool()), "missing file", ERROR)
    paths = ("data.train.annotations", "data.train.images", "data.train.proposals", "data.test.images")
    report = world.check_config(*[f"{key}=absent" for key in paths])
    assert [finding.says.split("=")[0] for finding in wrong(report)] == list(paths)
    assert report.num_errors == 4


def test_nobody_misses_a_test_set_that_nobody_set(world: World, tmp_path: Path):
    settings = ["data.test={annotations: '', images: ''}", f"data.root={tmp_path}/data"]
    findings = wrong(world.check_config(*settings, "train.eval_period=0"))
    assert {finding.level for finding in findings} == {WARNING}
    assert all("refused by `vclr evaluate`" in finding.says for finding in findings)
    assert {finding.level for finding in wrong(world.check_config(*settings))} == {ERROR}


@pytest.mark.parametrize(("brightest", "warned"), [(4095, True), (5600, True), (65535, False)])
def test_values_of_fewer_bits_in_a_file_of_16_are_said(world: World, brightest: int, warned: bool):
    """12 bits, or a depth in millimeters, read as nearly black."""
    values = np.linspace(0, brightest, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    Image.fromarray(values).save(world.folder / "images" / "b.png")
    says = notes(world.check()).get("dark pictures", "")
    assert ("pictures (b.png has no value above" in says) == warned


def test_photos_with_other_bytes_in_a_second_folder(world: World):
    second = world.folder / "second"
    second.mkdir()
    for name in ("a.png", "b.png"):
        (second / name).write_bytes((world.folder / "images" / name).read_bytes())
    (world.folder / "images" / "a.png").unlink()
    folders = [world.folder / "images", second]
    files = DataSet(world.write(), folders)
    assert wrong(check_files(files, WorkerPool())) == []
    write_png(second / "b.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    says = only(check_files(files, WorkerPool()), "photos in several folders", WARNING)
    assert f"{folders[0]}, {second}: 1 photos have other bytes in another of the folders (b.png ...)" in says
