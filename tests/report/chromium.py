"""A page in headless Chromium, driven through its debugging port: what a reader sees, presses and asks for."""

import asyncio
import base64
import contextlib
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Page:
    """An open page.

    Attributes:
        requests: the addresses that it asked for.
        errors: its exceptions and messages of errors.
    """

    def __init__(self, socket):
        self._socket, self._number, self.requests, self.errors = socket, 0, [], []

    async def send(self, method, **parameters):
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json(timeout=60)
            self._note(answer)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _note(self, event):
        said = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(said["exceptionDetails"]["exception"].get("description"))

    async def open(self, path, width=1600, height=1000, scheme="light"):
        await self.visit(Path(path).resolve().as_uri(), width, height, scheme)

    async def visit(self, address, width=1600, height=1000, scheme="light"):
        for domain in ("Page", "Network", "Runtime"):
            await self.send(f"{domain}.enable")
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await self.send("Page.navigate", url=address)
        await self.run(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"
        )

    async def run(self, code):
        """Return the value of an expression in the page, or of the promise that it is."""
        answer = await self.send(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, code, seconds=120):
        """Wait for an expression in the page to be true; return the seconds that it took."""
        started = time.monotonic()
        while not await self.run(code):
            assert time.monotonic() - started < seconds, f"{code}: still not true after {seconds} s"
            await asyncio.sleep(0.02)
        return time.monotonic() - started

    async def press(self, key):
        code = KEYS[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    async def choose_file(self, selector, path):
        """Let a field of the page have a file, as if the visitor had chosen it."""
        root = (await self.send("DOM.getDocument"))["root"]["nodeId"]
        field = (await self.send("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.send("DOM.setFileInputFiles", nodeId=field, files=[str(Path(path).resolve())])

    async def download_to(self, folder):
        """Let the page's downloads go to a folder."""
        await self.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(Path(folder).resolve()))

    async def point(self, selector, x, y):
        """Move the mouse to a place of an element, in shares of its width and height."""
        box = await self.run(
            f"(({{left, top, width, height}}) => [left + {x} * width, top + {y} * height])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])

    async def screenshot(self, path, whole=False):
        answer = await self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(answer["data"]))


def in_chromium(folder, visit):
    """Start Chromium with its profile in a folder, and return what the coroutine `visit(page)` returns."""
    return asyncio.run(_visit(Path(folder), visit))


async def _visit(folder, visit):
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        "--disable-dev-shm-usage",
    ]
    command = [CHROMIUM, *options, f"--user-data-dir={folder}", "--no-first-run", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = await _port(folder / "DevToolsActivePort", browser)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (target, *_) = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                return await visit(Page(socket))
    finally:
        browser.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            browser.wait(20)
        browser.kill()


async def _port(file, browser):
    for _ in range(300):
        if file.is_file() and file.read_text().strip():
            return int(file.read_text().split()[0])
        assert browser.poll() is None, "Chromium ended"
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium did not start")
