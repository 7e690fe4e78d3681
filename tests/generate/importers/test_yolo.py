"""YOLO: odd rows, layouts and names."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from PIL import Image

from vclr.coco.annotations import Json, load_coco
from vclr.errors import UserError
from vclr.generate.importers.yolo import import_yolo

SQUARE = "1 0.25 0.5 0.25 0.5"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data set of photos of 80x40 px without labels: a in train, b and c in val."""
    for name in ("train/a.png", "val/b.png", "val/c.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 40)).save(path)
    (tmp_path / "data.yaml").write_text("names: {0: cat, 1: dog}\ntrain: images/train\nval: [images/val]\n")
    return tmp_path


def label(data: Path, name: str, *rows: str) -> Path:
    path = data / "labels" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows))
    return path


def run(source: Path, folder: Path, **options: object) -> Json:
    import_yolo(source, folder / "out.json", quiet=True, **options)  # type: ignore[arg-type]
    return load_coco(folder / "out.json", folder)


def test_names_that_yaml_reads_as_something_else(data: Path):
    (data / "data.yaml").write_text("names: [yes, 1e3]\ntrain: images/train\nval: null\n")
    label(data, "train/a.txt", SQUARE)
    assert [one["name"] for one in run(data, data)["categories"]] == ["1e3", "yes"]


def test_boxes_polygons_empty_and_missing_files(data: Path, caplog: pytest.LogCaptureFixture):
    label(data, "train/a.txt", SQUARE, "", "0 0 0 0.5 0 0.5 0.5 0 0.5", SQUARE)
    label(data, "val/b.txt")
    with caplog.at_level(logging.WARNING):
        coco = run(data / "data.yaml", data)
    assert [image["file_name"] for image in coco["images"]] == [
        "images/train/a.png",
        "images/val/b.png",
        "images/val/c.png",
    ]
    assert [category["name"] for category in coco["categories"]] == ["cat", "dog"]
    box, polygon = coco["annotations"]
    assert (box["bbox"], box["segmentation"], box["category_id"]) == ([10, 10, 20, 20], None, 2)
    assert polygon["segmentation"] == [[0, 0, 40, 0, 40, 20, 0, 20]]
    assert "photos without a label file, taken as photos without objects: 1; first: images/val/c.png" in caplog.text
    assert "rows that repeat another row of their file, left out: 1" in caplog.text


def test_one_part(data: Path):
    label(data, "train/a.txt", SQUARE)
    label(data, "val/b.txt", "0 0.5 0.5 1 1")
    assert [image["file_name"] for image in run(data, data, part="val")["images"]] == [
        "images/val/b.png",
        "images/val/c.png",
    ]
    with pytest.raises(UserError, match="--part test: data.yaml names only train, val"):
        run(data, data, part="test")


def test_coordinates_beyond_the_photo(data: Path, caplog: pytest.LogCaptureFixture):
    label(data, "train/a.txt", "0 -0.001 0 0.5 0 0.5 1.002", "1 0.95 0.5 0.2 0.5")
    with caplog.at_level(logging.WARNING):
        outline, box = run(data, data)["annotations"]
    assert outline["segmentation"] == [[0, 0, 40, 0, 40, 40]]
    assert box["bbox"] == pytest.approx([68, 10, 12, 20])
    assert "objects that reach beyond their photo, cut at its border: 1" in caplog.text


def test_names_in_a_text_file_and_labels_elsewhere(data: Path, tmp_path_factory: pytest.TempPathFactory):
    labels = tmp_path_factory.mktemp("labels")
    (labels / "classes.txt").write_text("cat\r\nbig dog\r\n")
    (labels / "a.txt").write_text(SQUARE)
    import_yolo(labels, labels / "out.json", images=data / "images/train", quiet=True)
    coco = load_coco(labels / "out.json", data / "images/train")
    assert [category["name"] for category in coco["categories"]] == ["big dog", "cat"]
    assert len(coco["annotations"]) == 1


def test_triangles_that_may_be_tracks(data: Path, caplog: pytest.LogCaptureFixture):
    label(data, "train/a.txt", "0 0.5 0.5 0.2 0.2 0.9 1", "0 0.5 0.5 0.2 0.2 0.9 1.000", "0 0.9 0.1 0.9 0.9 0.1 1")
    with caplog.at_level(logging.WARNING):
        assert len(run(data, data)["annotations"]) == 3
    assert "and the number of a track, read as triangles: 1; first: " in caplog.text


def twins(folder: Path) -> None:
    """Make photos of one name in two parts: that of train has a label, that of val none."""
    for part in ("train", "val"):
        (folder / part / "images").mkdir(parents=True)
        Image.new("RGB", (80, 40)).save(folder / part / "images/a.png")
    (folder / "data.yaml").write_text("names: [cat, dog]\ntrain: train/images\nval: val/images\n")
    (folder / "train/labels").mkdir()
    (folder / "train/labels/a.txt").write_text(SQUARE)


def test_photo_does_not_get_the_label_of_another_one(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    twins(tmp_path)
    with caplog.at_level(logging.WARNING):
        coco = run(tmp_path, tmp_path)
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    assert [names[one["image_id"]] for one in coco["annotations"]] == ["train/images/a.png"]
    assert "photos without a label file, taken as photos without objects: 1; first: val/images/a.png" in caplog.text
    with pytest.raises(UserError, match="none of 1 photos has a label file"):
        run(tmp_path, tmp_path, images=tmp_path / "val/images", part="val")


def test_label_that_may_be_of_two_photos(tmp_path: Path):
    twins(tmp_path)
    (tmp_path / "train/labels").rename(tmp_path / "boxes")
    with pytest.raises(UserError, match=r"a.txt: may be the label of val/images/a.png or of train/images/a.png"):
        run(tmp_path, tmp_path)


def test_copies_of_the_photos(tmp_path: Path):
    twins(tmp_path)
    (tmp_path / "val/images/a.png").unlink()
    (tmp_path / "val/images").rmdir()
    (tmp_path / "copies").mkdir()
    data = tmp_path / "train"
    Image.new("RGB", (40, 20)).save(tmp_path / "copies/a.png")
    (data / "classes.txt").write_text("cat\ndog\n")
    import_yolo(data, tmp_path / "out.json", images=tmp_path / "copies", quiet=True)
    assert len(load_coco(tmp_path / "out.json", tmp_path / "copies")["annotations"]) == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["x 0.5 0.5 1 1"], "line 1: is not a row of numbers"),
        (["", "2 0.5 0.5 1 1"], "line 2: has class 2, but the data set names 2"),
        (["0 40 20 10 10"], "is not a fraction of the photo's side"),
        (["0 nan 0.5 1 1"], "is not a fraction"),
        (["0 0.5 0.5 0.2 0.2 0.9 7"], "line 1: ends in a confidence and the number of a track"),
        (["0 10 10 50 10 50 30"], "is not a fraction of the photo's side"),
    ],
)
def test_bad_rows_are_refused(data: Path, rows: list[str], says: str):
    label(data, "train/a.txt", *rows)
    with pytest.raises(UserError, match=says):
        run(data, data)


def test_unusable_rows_are_dropped_and_counted(data: Path, caplog: pytest.LogCaptureFixture):
    label(data, "train/a.txt", SQUARE, "0 0.1 0.1 0.2", "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "1 0.5 0.5 0 0.5")
    with caplog.at_level(logging.WARNING):
        assert len(run(data, data)["annotations"]) == 1
    assert "3 of 4 objects dropped" in caplog.text


def test_without_any_label_the_folder_is_wrong(data: Path):
    with pytest.raises(UserError, match="none of 3 photos has a label file; is --images right"):
        run(data, data)
    (data / "data.yaml").write_text("train: images/train\n")
    with pytest.raises(UserError, match="`names` is neither a list nor numbers with names"):
        run(data, data)
    (data / "data.yaml").unlink()
    with pytest.raises(UserError, match="has none of data.yaml, classes.txt"):
        run(data, data)
