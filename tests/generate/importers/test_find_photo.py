"""Which photo a name in annotations means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vclr.errors import UserError
from vclr.generate.importers.cvat import import_cvat
from vclr.generate.importers.find_photo import PhotoFinder
from vclr.generate.importers.labelme import import_labelme
from vclr.generate.importers.makesense import import_makesense
from vclr.generate.importers.voc import import_voc
from vclr.generate.importers.yolo import import_yolo


def finder(folder: Path, *names: str) -> PhotoFinder:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return PhotoFinder(folder)


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("clip.001", "clip.001.jpg"),  # no suffix: .001 is part of the name
        ("clip.001.png", "clip.001.jpg"),
        ("clip", "clip.jpg"),
        ("clip.HEIC", "clip.jpg"),
        ("other/clip.jpg", "clip.jpg"),
    ],
)
def test_names_with_dots(tmp_path: Path, named: str, found: str):
    assert finder(tmp_path, "clip.jpg", "clip.001.jpg").find(named, "entry") == found


def test_name_with_a_dot_is_not_another_photo(tmp_path: Path):
    with pytest.raises(UserError, match=r"its photo 'clip.002' is not in .*; nearest: .*clip"):
        finder(tmp_path, "clip.jpg", "clip.001.jpg").find("clip.002", "entry")


LABELME = '{"imagePath": "a.png", "shapes": [{"label": "a", "points": [[1, 1], [9, 1], [9, 9]]}]}'
CVAT = '<annotations><image name="a.png" width="80" height="40"/></annotations>'
VOC = "<annotation><filename>a.png</filename></annotation>"
FILES = {
    "images/a.png": "",
    "labels/a.txt": "0 0.5 0.5 0.5 0.5",
    "labels/classes.txt": "a",
    "set.yaml": "names: [a]\ntrain: images",
    "labelme/a.json": LABELME,
    "cvat/some.xml": CVAT,
    "makesense/a.xml": VOC,
    "masks/a.png": "",
}


def test_files_that_a_mac_adds_are_left_out(tmp_path: Path):
    for name, content in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
        file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\7what a Mac adds")
    Image.new("RGB", (80, 40)).save(tmp_path / "images/a.png")
    Image.fromarray(np.full((40, 80), 1, np.uint8)).save(tmp_path / "masks/a.png")
    (tmp_path / "__MACOSX/images").mkdir(parents=True)
    (tmp_path / "__MACOSX/images/a.png").write_text("no image")
    images, out = tmp_path / "images", tmp_path / "out"
    import_yolo(tmp_path, out, quiet=True)
    import_yolo(tmp_path / "labels", out, images=tmp_path, quiet=True)
    import_labelme(tmp_path / "labelme", out, images=images, quiet=True)
    import_cvat(tmp_path / "cvat", out, images=images, quiet=True)
    import_makesense(tmp_path / "makesense", out, images=images, quiet=True)
    import_voc(None, out, images=images, masks=tmp_path / "masks", quiet=True)
