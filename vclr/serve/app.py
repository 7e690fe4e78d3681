"""The web application: the page, and what it asks for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
import msgspec
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from vclr.drawing import PALETTE
from vclr.errors import UserError, first_line, is_out_of_memory
from vclr.pictures import open_image
from vclr.serve.access import JOB, Access
from vclr.serve.detectors import NamedDetector, find_objects
from vclr.serve.photo_views import MAX_SIDE, as_jpeg, render_views
from vclr.serve.places import FullError, Places
from vclr.serve.upload import MAX_ARRIVING, NAME, RefusedError, discard, read_upload, refusal_of
from vclr.serve.work_queue import WorkQueue

RETRY_SECONDS = 2  # after which a client that was refused should ask again
SCRIPTS = ("page.js", "panel.js", "drawing.js", "requests.js", "run_lengths.js")
STYLES = ("page.css",)
SHARED = ("style.css", "scheme.js")  # with the report
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css"}

log = logging.getLogger("vclr.serve")


class Limits(NamedTuple):
    """What visitors may send.

    Attributes:
        max_bytes: of a photo's file.
        max_pixels: of a photo.
        max_waiting: photos in the queue.
    """

    max_bytes: int
    max_pixels: int
    max_waiting: int


def make_app(
    detectors: Sequence[NamedDetector], limits: Limits, token: str, host_names: frozenset[str] | None, cookie: str
) -> ASGIApp:
    """Return the application. Photos stay in memory, and only as long as they are worked on.

    Args:
        detectors: the detectors that the page compares.
        limits: what visitors may send.
        token: as of `Access`.
        host_names: as of `Access`.
        cookie: as of `Access`.
    """
    jobs = WorkQueue(limits.max_waiting)
    arrivals = Places(MAX_ARRIVING, "Too many photos are being sent; please try again in a moment.")

    def with_photo(work: Callable[[Image.Image], Response]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await _answer(request, arrivals, jobs, limits, work)

        return answer

    async def say_position(request: Request) -> Response:
        return JSONResponse({"before": jobs.count_before(request.path_params["job"])})

    def find(photo: Image.Image) -> Response:
        return _json(find_objects(detectors, photo))

    def render(photo: Image.Image) -> Response:
        return _json(render_views(photo))

    def show(photo: Image.Image) -> Response:
        if max(photo.size) > MAX_SIDE:
            raise RefusedError(413, f"Photos with a side of more than {MAX_SIDE} pixels cannot be shown.")
        return Response(as_jpeg(photo), media_type="image/jpeg")

    page = _render_page(detectors, limits)
    routes = [Route("/", lambda request: Response(page, media_type="text/html"))]
    routes += [Route(f"/{name}", _static(name, text)) for name, text in _read_files().items()]
    routes += [Route(f"/api/{name}", with_photo(work), methods=["POST"]) for name, work in _named(find, render, show)]
    routes += [Route("/api/queue/{job}", say_position)]
    return Access(Starlette(routes=routes), token, host_names, cookie)


def _named(find: Any, render: Any, show: Any) -> list[tuple[str, Any]]:
    return [("predict", find), ("views", render), ("photo", show)]


async def _answer(
    request: Request, arrivals: Places, jobs: WorkQueue, limits: Limits, work: Callable[[Image.Image], Response]
) -> Response:
    """Receive a photo, wait for its turn, and answer with what `work` makes of it, or with what is wrong."""
    try:
        jobs.places.check()  # before the upload: the client would send it in vain
        with arrivals.take():
            data = await read_upload(request, limits.max_bytes, limits.max_pixels)
        with jobs.places.take():
            job = asyncio.ensure_future(jobs.do(request.headers[JOB], lambda: work(_decode(data))))
            gone = asyncio.ensure_future(_until_gone(request))
            try:
                await asyncio.wait((job, gone), return_when=asyncio.FIRST_COMPLETED)
                return job.result() if job.done() else Response(status_code=499)  # which nobody will see
            finally:
                for task in (job, gone):
                    task.cancel()
                    with suppress(BaseException):
                        await task
    except FullError as full:
        await discard(request)
        return _refuse(503, str(full), {"Retry-After": str(RETRY_SECONDS)})
    except RefusedError as refused:
        if not refused.can_go_on:
            return _refuse(refused.status, str(refused), {"Connection": "close"})
        await discard(request)
        return _refuse(refused.status, str(refused))
    except ClientDisconnect:
        return Response(status_code=499)
    except Exception as error:
        if is_out_of_memory(error):
            return _refuse(507, "There is not enough memory for this photo; a smaller one may work.")
        log.exception("a photo could not be worked on")
        return _refuse(500, f"The server failed: {type(error).__name__}: {first_line(error)}.")


def _decode(data: bytes) -> Image.Image:
    """Return the photo as RGB, upright."""
    try:
        return open_image(NAME, data)
    except UserError as error:
        raise refusal_of(error) from None


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _refuse(status: int, complaint: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": complaint}, status, headers)


def _static(name: str, text: str) -> Callable[[Request], Response]:
    media_type = MEDIA_TYPES[name.rpartition(".")[2]]
    return lambda request: Response(text, media_type=media_type)


def _read_files() -> dict[str, str]:
    """Return the page's scripts and styles by name."""
    own, shared = files("vclr.serve") / "page", files("vclr.report") / "templates"
    texts = {name: (own / name).read_text(encoding="utf-8") for name in (*SCRIPTS, *STYLES)}
    return texts | {name: (shared / name).read_text(encoding="utf-8") for name in SHARED}


def _render_page(detectors: Sequence[NamedDetector], limits: Limits) -> str:
    template = (files("vclr.serve") / "page" / "page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        detectors=[one.name for one in detectors],
        max_bytes=limits.max_bytes,
        palette=PALETTE,
    )
