"""A photo that a browser sends: read up to a limit, checked by its header, and never written to a disk."""

from __future__ import annotations

import anyio
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request

from vclr.errors import UserError
from vclr.pictures import MAX_PIXELS, TooManyPixelsError, UnknownKindError, read_image_header

MAX_ARRIVING = 32  # uploads that are received at once: their bytes are in memory
READ_SECONDS, SILENT_SECONDS = 120.0, 10.0  # within which an upload must arrive, and its next bytes
MAX_DISCARDED, DISCARD_SECONDS = 1 << 28, 20.0  # bytes and time of a refused upload that are still received
NAME = "photo"  # what the readers of images call the upload in their errors


class RefusedError(Exception):
    """Refuse a request with a status and a sentence for whoever sent it.

    Attributes:
        status: the status of the answer.
        can_go_on: whether the client can be expected to send the rest of the request.
    """

    def __init__(self, status: int, sentence: str, can_go_on: bool = True) -> None:
        super().__init__(sentence)
        self.status, self.can_go_on = status, can_go_on


async def read_upload(request: Request, max_bytes: int, max_pixels: int) -> bytes:
    """Read the photo that is the body of a request, and check that it is an image of a reasonable size.

    Raises:
        RefusedError: it is empty, too large, late, not an image, or of a kind that is not read. Damaged pixels go
            unnoticed.
        ClientDisconnect: the client is gone.
    """
    data = await _read_body(request, max_bytes)
    if not data:
        raise RefusedError(422, "The request has no photo in its body.")
    await run_sync(check_header, data, max_pixels)
    return data


async def discard(request: Request) -> None:
    """Receive what a refused request still sends: many clients read the answer only after they have sent everything."""
    if "expect" in request.headers:  # this one asks before it sends
        return
    received = 0
    with anyio.move_on_after(DISCARD_SECONDS):
        try:
            async for chunk in request.stream():
                received += len(chunk)
                if received > MAX_DISCARDED:
                    return
        except (ClientDisconnect, RuntimeError):  # RuntimeError: the body was read already
            return


def check_header(data: bytes, max_pixels: int) -> None:
    """Refuse an image by its header, before memory for its pixels is needed."""
    try:
        header = read_image_header(NAME, data)
    except TooManyPixelsError:
        raise _too_many_pixels(min(max_pixels, MAX_PIXELS)) from None
    except UserError as error:
        raise refusal_of(error) from None
    if header.height * header.width > max_pixels:
        raise _too_many_pixels(max_pixels)


def refusal_of(error: UserError) -> RefusedError:
    """Return the answer to a photo that cannot be read: 415 if its kind is not read, 422 if it is damaged or empty."""
    return RefusedError(415 if isinstance(error, UnknownKindError) else 422, _as_sentence(error))


def _as_sentence(error: UserError) -> str:
    text = str(error).removeprefix(f"{NAME}: ").rstrip(".")
    is_predicate = text.startswith(("is ", "cannot ", "shows ", "has "))
    return f"The file {text}." if is_predicate else f"The file is refused: {text}."


async def _read_body(request: Request, max_bytes: int) -> bytes:
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise RefusedError(415, "The request must have the file itself as its body, not a form.")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    data = bytearray()
    end = anyio.current_time() + READ_SECONDS
    chunks = request.stream()
    while True:
        limit = min(end, anyio.current_time() + SILENT_SECONDS)
        with anyio.CancelScope(deadline=limit) as waiting:
            chunk = await anext(chunks, None)
        if waiting.cancelled_caught:
            raise _too_late(limit == end)
        if chunk is None:
            return bytes(data)
        data += chunk
        if len(data) > max_bytes:
            raise _too_large(max_bytes)


def _too_late(is_over: bool) -> RefusedError:
    says = f"took longer than {READ_SECONDS:g} seconds" if is_over else f"stopped for {SILENT_SECONDS:g} seconds"
    return RefusedError(408, f"The upload {says}.", can_go_on=False)


def _too_large(max_bytes: int) -> RefusedError:
    return RefusedError(413, f"The file is too large: at most {max_bytes / 1e6:g} MB are accepted.")


def _too_many_pixels(max_pixels: int) -> RefusedError:
    return RefusedError(413, f"The photo has too many pixels: at most {max_pixels / 1e6:g} million are accepted.")
