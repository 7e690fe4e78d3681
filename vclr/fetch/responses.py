"""HTTP responses: what their statuses and headers mean for a download."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath

TEMPORARY_STATUSES = (408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524)


class TemporaryError(Exception):
    """A retry at the same address may succeed."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class AddressError(Exception):
    """This address does not have the file; another one may."""


class StartOverError(Exception):
    """The response does not continue what has been received so far.

    Args:
        reason: what the server did.
        in_one_stream: do not request ranges any more.
    """

    def __init__(self, reason: str, in_one_stream: bool) -> None:
        super().__init__(reason)
        self.in_one_stream = in_one_stream


def check_status(status: int, reason: str, headers: Mapping[str, str], name: str) -> None:
    """Raise for a response that holds no bytes of the file; the caller handles 416.

    Raises:
        TemporaryError: a retry makes sense, after the time that the server asks for.
        AddressError: a retry does not make sense.
    """
    if status in TEMPORARY_STATUSES:
        raise TemporaryError(f"answers {status} {reason}".rstrip(), retry_after(headers))
    if status not in (200, 206, 416):
        raise AddressError(f"answers {status} {reason}".rstrip())
    if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise AddressError(f"sends the file in another encoding ({headers['Content-Encoding']})")
    kind = headers.get("Content-Type", "").split(";")[0].strip().lower()
    if status != 416 and kind == "text/html" and PurePosixPath(name).suffix.lower() not in (".html", ".htm"):
        raise AddressError("answers with a web page instead of the file; does the address need a login?")


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that a server asks to wait, given as a number or as a date; 0 if it does not ask."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    date = date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)
    return max((date - datetime.now(timezone.utc)).total_seconds(), 0.0)


def parse_content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the first byte and the total size that `bytes 5-9/10` states; None for either one that is missing."""
    match = re.fullmatch(r"bytes\s+(?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    start, total = match.groups()
    return (int(start) if start else None), (int(total) if total != "*" else None)


def content_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "").strip()
    is_chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) and not is_chunked else None


def validator(headers: Mapping[str, str]) -> str:
    """Return the value for `If-Range` that identifies this version of the file, empty if there is none."""
    tag = headers.get("ETag", "").strip()
    if tag and not tag.startswith("W/"):
        return tag
    return headers.get("Last-Modified", "").strip()
