"""Files, folders and patterns on the command line name the photos that a reader would expect."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from vclr.errors import UsageError, UserError
from vclr.evaluation.photo_arguments import find_photos

FILES = ("a.png", "b.JPG", "notes.txt", "what?/c.png", "what?/sub/d.jpg", "#1/e.png", "[x]/f.png", "x/g.tif")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["b.JPG", "a.png"], "b a"),
        (["notes.txt"], "notes"),
        ([""], "a b"),
        (["what?"], "c"),
        (["what?/*.png"], "c"),
        (["what?/**/*"], "c d"),
        (["#1", "#1/e.png"], "e"),
        (["[x]"], "f"),
        (["[x]/f.png"], "f"),
        (["[x]/*"], "f"),
        (["[xy]/*"], "g"),
        (["*"], "a b"),
        (["**/*.png"], "e f a c"),
        (["*.png", "a.png"], "a"),
    ],
)
def test_photos_are_found(folder: Path, arguments: list[str], names: str):
    assert [photo.stem for photo in find_photos([folder / argument for argument in arguments])] == names.split()


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("absent.png", "absent.png: does not exist"),
        ("*.gif", "*.gif: matches no image"),
        ("absent/*.png", "absent/*.png: matches no image"),
        ("a**b/*.png", "a**b/*.png: "),
        ("empty", "empty: contains no images"),
    ],
)
def test_what_names_no_photo_is_one_line(folder: Path, argument: str, says: str):
    (folder / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        find_photos([folder / argument])
    assert str(caught.value).startswith(f"{folder}/{says}")


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("https://a.example/x/b.jpg", "download it first, for example with `curl -O https://a.example/x/b.jpg`"),
        ("s3://bucket/b.jpg", "s3://bucket/b.jpg: is not a file on this machine; download it first, with its tool"),
        ("s3:/bucket/b.jpg", "s3:/bucket/b.jpg: is not a file on this machine"),  # what a path makes of it
        ("file:///x/my%20b.jpg", "file:///x/my%20b.jpg: addresses are not read; give the path alone: /x/my b.jpg"),
        ("", "'': is empty; name photos, folders of photos"),
        ("-", "-: photos are not read from standard input"),
    ],
)
def test_what_is_elsewhere_is_refused_with_a_hint(argument: str, says: str):
    with pytest.raises(UsageError) as caught:
        find_photos([argument])
    assert says in str(caught.value)


@pytest.mark.parametrize("suffix", [".dng", ".HEIC", ".nef"])
def test_raw_photo_beside_its_jpeg_is_another_photo(tmp_path: Path, suffix: str):
    """It is refused with a line of its own; unless it can be read, so that both would have results."""
    raw, photo = tmp_path / f"IMG_1{suffix}", tmp_path / "IMG_1.jpg"
    Image.new("RGB", (4, 3)).save(photo)
    if suffix == ".HEIC":
        raw.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    else:
        Image.new("RGB", (4, 3)).save(raw, "TIFF")  # the preview that comes first
    for arguments in ([tmp_path], [raw, photo]):
        assert set(find_photos(arguments)) == {raw, photo}
    raw.write_bytes(photo.read_bytes())
    with pytest.raises(UsageError, match="two photos are called IMG_1"):
        find_photos([tmp_path])
