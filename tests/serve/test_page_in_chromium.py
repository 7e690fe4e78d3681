"""The page in a real browser: upload, slider, toggles, hover, comparison, views, downloads, refusals, other origins."""

from __future__ import annotations

import functools
import http.server
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.report.chromium import CHROMIUM, Page, in_chromium
from tests.report.test_report_in_chromium import axe  # noqa: F401  # a fixture
from tests.serve.running import Recorder, encode, held_detector, picture, running, whole_request
from tests.serve.test_app import REFUSED
from vclr.coco.annotations import to_mask
from vclr.serve import detectors
from vclr.serve.app import Limits

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

Visit = Callable[[Page], Coroutine[Any, Any, Any]]
NAME = "<b>my photo.jpg"  # is shown as it is
DONE = "document.querySelector('#status').textContent.includes('answered')"
COMPLAINT = "document.querySelector('#complaint')"
CHIPS = "document.querySelectorAll('.panel[data-number=\"{}\"] .chips button').length"
PIXELS = """(() => { const canvas = document.querySelector('.panel canvas');
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return data.reduce((sum, value, index) => (sum * 31 + value * (index % 7 + 1)) % 1000003, 7) })()"""
HOST_PAGE = "<!doctype html><title>another origin</title>"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / NAME
    path.write_bytes(encode(picture(), "JPEG", quality=95))
    return path


@pytest.fixture(scope="module")
def server(checkpoints: list[Path]) -> Iterator[tuple[str, Recorder]]:
    with running(checkpoints, Limits(1_000_000, 4_000_000, max_waiting=1)) as served:
        yield served


def look(tmp_path: Path, visit: Visit) -> Any:
    async def whole(page: Page) -> Any:
        answer = await visit(page)
        assert page.errors == []
        return answer

    return in_chromium(tmp_path / "profile", whole)


async def set_control(page: Page, name: str, value: Any) -> None:
    property_name = "checked" if isinstance(value, bool) else "value"
    await page.run(
        f"(() => {{ const field = document.getElementById('{name}'); field.{property_name} = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', {bubbles: true})) })()"
    )


async def show_everything(page: Page) -> None:
    for name, value in (("repeats", True), ("score", "0"), ("most", "300")):
        await set_control(page, name, value)


def downloaded(folder: Path, name: str) -> Path:
    until = time.monotonic() + 20
    while not (folder / name).is_file():
        assert time.monotonic() < until, f"{[*folder.iterdir()]}: no {name}"
        time.sleep(0.05)
    return folder / name


def test_photo_is_tried_on_two_detectors(tmp_path: Path, server: tuple[str, Recorder], photo: Path, axe: str):  # noqa: F811
    address, recorder = server

    async def visit(page: Page) -> None:
        await page.visit(address, 1300, 900)
        await page.choose_file("#file", photo)
        await page.until(DONE)
        assert await page.run("document.querySelector('#chosen').textContent") == NAME
        found = await page.run(
            f"fetch('api/predict', {{method: 'POST', headers: {{'X-Vclr-Job': '1'}}, body: {list_bytes(photo)}}})"
            ".then(answer => answer.json())"
        )
        scores = [[one["score"] for one in detector["objects"]] for detector in found["detectors"]]
        await show_everything(page)
        assert [await page.run(CHIPS.format(n)) for n in (1, 2)] == [*map(len, scores)]
        limit = sorted(scores[0] + scores[1])[len(scores[0])]
        limit = round(limit, 2) + 0.005  # between two marks of the slider, so the slider's own rounding decides
        await set_control(page, "score", str(limit))
        shown = float(await page.run("document.querySelector('#score').value"))
        expected = [sum(score >= shown for score in one) for one in scores]
        assert [await page.run(CHIPS.format(n)) for n in (1, 2)] == expected, "one slider drives both"
        await set_control(page, "score", "1")
        empty = await page.run("document.querySelector('.panel .empty').textContent")
        assert empty == f"No object has a score of 1.00 or more; the best score is {max(scores[0]):.2f}."
        await show_everything(page)
        await set_control(page, "most", "3")
        assert [await page.run(CHIPS.format(n)) for n in (1, 2)] == [3, 3]

        pictures = {await page.run(PIXELS)}
        for name in ("boxes", "labels", "masks"):
            await set_control(page, name, name != "masks")
            pictures.add(await page.run(PIXELS))
        assert len(pictures) == 4, "each toggle changes the picture"

        await set_control(page, "most", "1")  # masks are off: the box is what is pointed at
        (x, y, width, height) = found["detectors"][0]["objects"][0]["bbox"]
        await page.point(".panel canvas", (x + width / 2) / 120, (y + height / 2) / 80)
        await page.until("!document.querySelector('.panel .tip').hidden")
        tip = await page.run("document.querySelector('.panel .tip').textContent")
        assert tip.startswith(f"score {scores[0][0]:.2f}, ")
        await page.point("h1", 0, 0)
        await page.until("document.querySelector('.panel .tip').hidden")
        await page.run("document.querySelector('.panel .chips button').focus()")
        assert not await page.run("document.querySelector('.panel .tip').hidden"), "by keyboard, too"

        await page.run(f"{axe};0")
        violations = (await page.run("axe.run()"))["violations"]
        serious = [one for one in violations if one["impact"] in ("serious", "critical")]
        assert not serious, json.dumps([(one["id"], one["nodes"][0]["html"]) for one in serious])

        await page.run("document.querySelector('#tab-objects').focus()")
        await page.press("ArrowRight")
        await page.until("document.querySelectorAll('.gallery img').length === 8")
        assert await page.run("document.querySelector('#objects').hidden")
        assert all(url.startswith((address, "data:", "blob:", "about:")) for url in page.requests), "works offline"

    look(tmp_path, visit)
    assert {status for _, _, status in recorder.answers} == {200}


def list_bytes(photo: Path) -> str:
    return f"new Uint8Array({list(photo.read_bytes())})"


@pytest.mark.parametrize("is_large", [False, True])
def test_downloads(
    tmp_path: Path, server: tuple[str, Recorder], photo: Path, is_large: bool, monkeypatch: pytest.MonkeyPatch
):
    if is_large:  # larger than masks are painted, and turned, in a format that browsers do not read
        monkeypatch.setattr(detectors, "MASK_SIDE", 100)
        exif = Image.Exif()
        exif[0x0112] = 6
        photo = tmp_path / "turned.tiff"
        photo.write_bytes(encode(picture(170, 250), "TIFF", exif=exif))
    width, height = (250, 170) if is_large else (120, 80)

    async def visit(page: Page) -> list[dict[str, Any]]:
        await page.visit(server[0], 700, 900)
        await page.download_to(tmp_path)
        await page.choose_file("#file", photo)
        await page.until(DONE)
        await show_everything(page)
        answer = await page.run(
            f"fetch('api/predict', {{method: 'POST', headers: {{'X-Vclr-Job': '1'}}, body: {list_bytes(photo)}}})"
            ".then(answer => answer.json())"
        )
        await page.run("document.querySelector('.panel .json').click()")
        await page.run("document.querySelector('.panel .png').click()")
        objects: list[dict[str, Any]] = answer["detectors"][0]["objects"]
        await page.run("new Promise(done => setTimeout(done, 500))")
        return objects

    objects = look(tmp_path, visit)
    stem = "turned" if is_large else "_b_my photo"
    results = json.loads(downloaded(tmp_path, f"{stem}_objects_1.json").read_text())
    assert [one["score"] for one in results] == [one["score"] for one in objects]
    for one, other in zip(results, objects, strict=True):
        assert (one["file_name"], one["width"], one["height"]) == (photo.name, width, height)
        assert one["bbox"] == other["bbox"] and one["segmentation"]["size"] == [height, width]
        mask = to_mask(one["segmentation"], height, width)
        small = to_mask(other["segmentation"], *other["segmentation"]["size"])
        rows, columns = (
            (np.arange(side) + 0.5) * part / side for side, part in zip(mask.shape, small.shape, strict=True)
        )
        assert np.array_equal(mask, small[np.ix_(rows.astype(int), columns.astype(int))])
    with Image.open(downloaded(tmp_path, f"{stem}_objects_1.png")) as drawn:
        assert drawn.size == (width, height)


def test_refusals_are_sentences(tmp_path: Path, server: tuple[str, Recorder], photo: Path):
    files = {}
    for name in ("text", "zip", "truncated", "bomb", "large"):
        data, _, sentence = REFUSED[name]
        files[name] = tmp_path / f"{name}.jpg", sentence
        files[name][0].write_bytes(data)

    async def visit(page: Page) -> None:
        await page.visit(server[0], 390, 800, "dark")
        assert await page.run("document.documentElement.scrollWidth") <= 390
        for name, (path, sentence) in files.items():
            await page.choose_file("#file", path)
            await page.until(f"!{COMPLAINT}.hidden")
            said = await page.run(f"{COMPLAINT}.textContent")
            assert said.startswith(f"{name}.jpg") and sentence.split(": ")[-1].split(" at most")[0] in said
            await page.run(f"{COMPLAINT}.hidden = true")
        await page.choose_file("#file", photo)
        await page.until(DONE)
        assert await page.run(f"{COMPLAINT}.hidden") and await page.run("document.documentElement.scrollWidth") <= 390

    look(tmp_path, visit)


def test_page_waits_for_its_turn(
    tmp_path: Path, server: tuple[str, Recorder], photo: Path, monkeypatch: pytest.MonkeyPatch
):
    async def visit(page: Page) -> None:
        await page.visit(server[0])
        with held_detector(monkeypatch):
            others = [whole_request(server[0], encode(picture()), f"other{number}") for number in range(2)]
            await page.run("new Promise(done => setTimeout(done, 500))")  # until they have their places
            await page.choose_file("#file", photo)
            await page.until("document.querySelector('#status').textContent.includes('tries again')")
        for client in others:
            client.close()
        await page.until(DONE)

    look(tmp_path, visit)


def test_photo_is_pasted(tmp_path: Path, server: tuple[str, Recorder], photo: Path):
    """By the keyboard, from the clipboard of the browser."""

    async def visit(page: Page) -> None:
        await page.visit(server[0])
        for permission in ("clipboardReadWrite", "clipboardSanitizedWrite"):
            await page.send("Browser.grantPermissions", permissions=[permission], origin=server[0])
        png = f"new Uint8Array({list(encode(picture(90, 70)))})"
        await page.send("Page.bringToFront")
        await page.run(
            f"navigator.clipboard.write([new ClipboardItem({{'image/png': new Blob([{png}], {{type: 'image/png'}})}})])"
        )
        for kind in ("keyDown", "keyUp"):
            await page.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key="v",
                code="KeyV",
                windowsVirtualKeyCode=86,
                modifiers=2,
                commands=["paste"] if kind == "keyDown" else [],
            )
        await page.until(DONE)
        assert "90 × 70 pixels" in await page.run("document.querySelector('#status').textContent")

    look(tmp_path, visit)


def test_photo_is_dropped(tmp_path: Path, server: tuple[str, Recorder], photo: Path):
    """By the mouse, from a folder, onto any place of the page; what is no file changes nothing."""

    async def visit(page: Page) -> None:
        await page.visit(server[0])
        for data, is_taken in (
            ({"items": [{"mimeType": "text/plain", "data": "hello"}], "dragOperationsMask": 1}, False),
            ({"items": [], "files": [str(photo)], "dragOperationsMask": 1}, True),
        ):
            for kind in ("dragEnter", "dragOver", "drop"):
                await page.send("Input.dispatchDragEvent", type=kind, x=300, y=300, data=data)
            await page.until(DONE if is_taken else f"{COMPLAINT}.textContent.startsWith('That is not a file')")
            assert await page.run("location.href") == f"{server[0]}/", "the browser did not open the file itself"
            assert (await page.run("document.querySelector('#chosen').textContent") == NAME) is is_taken
            assert await page.run(f"{COMPLAINT}.hidden") is is_taken

    look(tmp_path, visit)


def test_page_of_another_origin_cannot_use_it(tmp_path: Path, server: tuple[str, Recorder]):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text(HOST_PAGE)
    address, recorder = server
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()

        async def visit(page: Page) -> None:
            await page.visit(f"http://127.0.0.1:{elsewhere.server_port}/")
            recorder.answers.clear()
            body = list_bytes_of(encode(picture()))
            for options in (
                "mode: 'no-cors'",
                "headers: {'X-Vclr-Job': '1'}",
                "mode: 'no-cors', credentials: 'include'",
            ):
                code = f"fetch('{address}/api/predict', {{method: 'POST', body: {body}, {options}}})"
                said = await page.run(f"{code}.then(answer => answer.status, () => 'failed')")
                assert said in (0, "failed"), "nothing can be read"
            assert await page.run(f"fetch('{address}/').then(() => 'read', () => 'failed')") == "failed"
            form = "const form = document.body.appendChild(document.createElement('form')); form.method = 'post';"
            await page.run(f"{form} form.action = '{address}/api/predict'; form.submit()")
            await page.until("document.body.textContent.includes('another origin')")

        in_chromium(tmp_path / "profile", visit)  # whose console notes each refusal
        elsewhere.shutdown()
    assert len(recorder.answers) >= 5
    assert {status for method, _, status in recorder.answers if method != "GET"} == {403}


def list_bytes_of(data: bytes) -> str:
    return f"new Uint8Array({list(data)})"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""
