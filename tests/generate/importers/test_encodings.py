"""Labels that are not UTF-8 are read if they have a byte order mark, else refused with a way to convert them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from vclr.coco.annotations import load_coco
from vclr.errors import UserError
from vclr.generate.importers.labelme import import_labelme


def write(folder: Path, label: str, encoding: str) -> None:
    Image.new("RGB", (60, 40)).save(folder / "a.png")
    square = {"label": label, "points": [[4, 4], [24, 4], [24, 14], [4, 14]], "shape_type": "polygon"}
    content = json.dumps({"shapes": [square], "imagePath": "a.png"}, ensure_ascii=False)
    (folder / "a.json").write_bytes(content.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_mark_is_read_over(tmp_path: Path, encoding: str):
    write(tmp_path, "pièce", encoding)
    import_labelme(tmp_path, tmp_path / "out.json", quiet=True)
    assert [category["name"] for category in load_coco(tmp_path / "out.json")["categories"]] == ["pièce"]


@pytest.mark.parametrize(("label", "encoding"), [("猫和狗", "gb18030"), ("pièce", "latin1"), ("кот", "windows-1251")])
def test_other_encodings_are_one_line_with_the_way_out(tmp_path: Path, label: str, encoding: str):
    write(tmp_path, label, encoding)
    with pytest.raises(UserError) as caught:
        import_labelme(tmp_path, tmp_path / "out.json", quiet=True)
    says = str(caught.value)
    assert says.startswith(f"{tmp_path}/a.json: ")
    assert "is not UTF-8 text" in says
    assert "`iconv -f windows-1252 -t utf-8` (or `-f gb18030`)" in says
    assert not (tmp_path / "out.json").exists()
