"""Who may use the page: everybody on this machine, others with a token, and no page of another origin."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JOB = "x-vclr-job"  # the header that names a job; a page of another origin cannot send it without being allowed to
SAFE_METHODS = ("GET", "HEAD")
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Access:
    """Refuse requests that may not be answered, and add the headers of security to all answers.

    Args:
        app: answers the others.
        token: what visitors must know; "" for none.
        host_names: names under which browsers may address the server; None for all. Without this check, a page could
            give its own name the address of this machine, and would then be of the same origin (DNS rebinding).
        cookie: the name of the cookie that remembers the token.
    """

    def __init__(self, app: ASGIApp, token: str, host_names: frozenset[str] | None, cookie: str) -> None:
        self._app, self._token, self._host_names, self._cookie = app, token, host_names, cookie
        # Any token makes a valid cookie so, and the cookie does not tell the token.
        self._cookie_value = hashlib.sha256(token.encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        if scope["type"] != "http":  # no web sockets
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                if has_token:
                    headers.append("Set-Cookie", self._set_cookie())
            await send(message)

        headers = Headers(scope=scope)
        has_token = bool(self._token) and self._names_token(scope)
        refusal = self._refuse(headers, scope["method"], has_token)
        if refusal is not None:
            await refusal(scope, receive, send_safely)
            return
        await self._app(scope, receive, send_safely)

    def _refuse(self, headers: Headers, method: str, has_token: bool) -> PlainTextResponse | None:
        if self._host_names is not None and name_of(headers.get("host", "")) not in self._host_names:
            return PlainTextResponse("This server is not known by that name; open the address that it printed.\n", 403)
        if self._token and not has_token and not self._knows_token(headers):
            text = "This page needs its token: open the whole address that `vclr serve` printed.\n"
            return PlainTextResponse(text, 401, {"WWW-Authenticate": "Bearer"})
        if method not in SAFE_METHODS and (complaint := foreign(headers)):
            return PlainTextResponse(complaint + "\n", 403)
        return None

    def _names_token(self, scope: Scope) -> bool:
        """Tell whether the address has the token."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return _same(given, self._token)

    def _knows_token(self, headers: Headers) -> bool:
        """Tell whether a cookie or, from a script, `Authorization: Bearer TOKEN` proves that the token is known."""
        # Not by http.cookies, which stops at the first odd cookie; it may be that of another program on this host.
        if _same(cookie_parser(headers.get("cookie", "")).get(self._cookie, ""), self._cookie_value):
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and _same(given.strip(), self._token)

    def _set_cookie(self) -> str:
        return f"{self._cookie}={self._cookie_value}; Path=/; HttpOnly; SameSite=Strict"


def foreign(headers: Mapping[str, str]) -> str:
    """Say why a request that does something may come from a page of another origin; "" if it cannot."""
    origin = headers.get("origin")
    # An origin is scheme://host:port, or null.
    if origin is not None and (origin.partition("://")[2] or "null").lower() != headers.get("host", "").lower():
        return "Pages of another origin may not use this server."
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "Pages of another origin may not use this server."
    # A browser lets no page of another origin send this header: it would ask first, and is never allowed to.
    return "" if headers.get(JOB) else f"The header {JOB.title()} is missing; give the job any name."


def name_of(host: str) -> str:
    """Return the name in a `Host` header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same(given: str, expected: str) -> bool:
    """Compare in a time that does not depend on how much agrees."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
