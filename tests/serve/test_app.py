"""Photos are answered with what `vclr predict` finds; whatever is no photo, with a sentence."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from tests.png_files import chunk
from tests.serve.running import encode, held_detector, picture, post, running, wait_for_place, whole_request
from vclr.catalog.views import COMPUTED_VIEWS
from vclr.coco.annotations import to_mask
from vclr.evaluation.predict import predict_files
from vclr.files import read_json
from vclr.serve import detectors
from vclr.serve.app import Limits


def without(objects: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != key} for one in objects]


def test_both_detectors_find_what_predict_finds(address: str, checkpoints: list[Path], tmp_path: Path):
    (tmp_path / "photo.png").write_bytes(encode(picture()))
    answer = post(address, (tmp_path / "photo.png").read_bytes()).json()
    assert (answer["width"], answer["height"]) == (120, 80)
    assert [one["name"] for one in answer["detectors"]] == ["one/seed0", "two/seed0"]
    for number, checkpoint in enumerate(checkpoints):
        predict_files([tmp_path / "photo.png"], checkpoint, tmp_path / str(number), 0.3, "cpu")
        expected = without(read_json(tmp_path / str(number) / "photo.json"), "file_name")
        found = answer["detectors"][number]["objects"]
        assert found and without(found, "is_repeat") == expected
        assert not found[0]["is_repeat"]


def test_large_photo_has_boxes_in_its_pixels_and_smaller_masks(
    address: str, monkeypatch: pytest.MonkeyPatch, checkpoints: list[Path]
):
    photo = encode(picture(300, 200), "JPEG")
    whole = post(address, photo).json()["detectors"][0]["objects"]
    monkeypatch.setattr(detectors, "MASK_SIDE", 150)
    reduced = post(address, photo).json()["detectors"][0]["objects"]
    assert len(whole) == len(reduced)
    for one, other in zip(whole, reduced, strict=True):
        assert one["score"] == other["score"] and np.allclose(one["bbox"], other["bbox"], atol=0.01)
        mask = to_mask(one["segmentation"], 200, 300)
        assert other["segmentation"]["size"] == [100, 150]
        enlarged = to_mask(other["segmentation"], 100, 150).repeat(2, 0).repeat(2, 1)
        assert np.mean(mask != enlarged) < 0.02


def test_orientation_is_honored(address: str):
    upright = picture()
    lying = upright.transpose(2)  # ROTATE_90
    exif = lying.getexif()
    exif[0x0112] = 6
    assert post(address, encode(lying, exif=exif)).json() == post(address, encode(upright)).json()
    shown = requests.post(
        f"{address}/api/photo", encode(lying, "TIFF", exif=exif), headers={"X-Vclr-Job": "1"}, timeout=60
    )
    assert shown.headers["content-type"] == "image/jpeg"
    too_long = post(address, encode(Image.new("L", (70_000, 2))), "photo")
    assert too_long.status_code == 413 and "cannot be shown" in too_long.json()["error"]


def test_views(address: str):
    first, again = (post(address, encode(picture()), "views").json() for _ in range(2))
    assert first == again
    assert [view["name"] for view in first["views"]] == ["natural", *COMPUTED_VIEWS]
    assert all(view["picture"].startswith("data:image/jpeg;base64,") for view in first["views"])


def bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(20000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("photo.jpg", encode(picture(), "JPEG"))
    return stream.getvalue()


def chunks() -> Iterator[bytes]:
    for _ in range(20):
        yield bytes(100_000)


PHOTO = encode(picture(400, 300), "JPEG")
PROGRESSIVE = encode(picture(), "JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
AVIF = encode(picture(), "AVIF").partition(b"mdat")[0] + b"mdat" + bytes(5000)
REFUSED: dict[str, tuple[Any, int, str]] = {
    "text": (b"no photo", 415, "The file is not an image."),
    "zip": (zipped(), 415, "The file is not an image."),
    "nothing": (b"", 422, "The request has no photo in its body."),
    "truncated": (PHOTO[: len(PHOTO) // 2], 422, "The file cannot be read as an image: image file is truncated"),
    "head of a JPEG": (
        PHOTO[:20],
        422,
        "The file is damaged: it begins like a JPEG file, but its header cannot be read.",
    ),
    "damaged head": (PHOTO[:30] + bytes(1000), 422, "The file is damaged: it begins like a JPEG file"),
    "head of a PNG": (bomb()[:20], 422, "The file cannot be read as an image: Truncated File Read."),
    "pixels of an AVIF": (AVIF, 422, "The file cannot be read as an image: Failed to decode frame 0"),
    "scans": (PROGRESSIVE[:-2] + LAST_SCAN * 1000, 422, "The file has more than 100 scans, which would take too long"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", 415, "The file is a picture in the format HEIC, which is not read"),
    "bomb": (bomb(), 413, "The photo has too many pixels: at most 4 million are accepted."),
    "many pixels": (encode(picture(2500, 2000), "JPEG"), 413, "The photo has too many pixels: at most 4 million"),
    "floats": (encode(picture().convert("F"), "TIFF"), 415, "The file is refused: floating-point pixels are not read"),
    "large": (bytes(1_000_001), 413, "The file is too large: at most 1 MB are accepted."),
    "large without saying so": (chunks(), 413, "The file is too large: at most 1 MB are accepted."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(address: str, name: str):
    data, status, sentence = REFUSED[name]
    answer = post(address, data)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.startswith(sentence) and error.endswith(".") and "\n" not in error
    assert post(address, encode(picture())).status_code == 200, "and the next visitor is served"


def test_form_is_refused(address: str):
    answer = requests.post(f"{address}/api/predict", files={"file": b"x"}, headers={"X-Vclr-Job": "1"}, timeout=60)
    assert answer.status_code == 415 and "not a form" in answer.json()["error"]


def test_full_queue_asks_to_come_again(checkpoints: list[Path], monkeypatch: pytest.MonkeyPatch):
    with running(checkpoints[:1], Limits(1_000_000, 4_000_000, max_waiting=1)) as (address, _):
        with held_detector(monkeypatch) as looked_at:
            waiting = [whole_request(address, PHOTO, f"visitor{number}") for number in range(2)]
            wait_for_place(address, "visitor1", 1)
            answer = post(address, PHOTO)
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
            assert answer.json()["error"] == "The queue is full; please try again in a moment."
            assert len(looked_at) == 1
        for client in waiting:
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            client.close()
        assert post(address, PHOTO).status_code == 200


def test_job_of_a_visitor_who_has_left_is_dropped(address: str, monkeypatch: pytest.MonkeyPatch):
    clients = []
    with held_detector(monkeypatch) as looked_at:
        for number, size in enumerate(((50, 40), (60, 40), (70, 40))):
            clients.append(whole_request(address, encode(picture(*size)), f"visitor{number}"))
            wait_for_place(address, f"visitor{number}", number)
        clients[1].close()
        wait_for_place(address, "visitor1", None)
    wait_for_place(address, "visitor2", None)
    assert looked_at == [(50, 40), (70, 40)]
    for client in clients:
        client.close()


def test_only_its_own_files_are_served(address: str):
    assert requests.get(f"{address}/page.js", timeout=9).headers["content-type"].startswith("text/javascript")
    for path in ("server.py", "../server.py", "page/page.js", "page.html.jinja", "api/predict"):
        assert requests.get(f"{address}/{path}", timeout=9).status_code in (404, 405)
