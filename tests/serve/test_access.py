"""Who may use the page: names of this machine, holders of the token, and no page of another origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.serve.running import encode, picture, post, running

TOKEN = "s;cret token ü"  # cookies may not have such characters
PHOTO = encode(picture())


@pytest.fixture(scope="module")
def guarded(checkpoints: list[Path]) -> Iterator[str]:
    with running(checkpoints[:1], token=TOKEN, all_names=True) as (address, _):
        yield address


def status(address: str, **headers: str) -> int:
    return post(address, PHOTO, **headers).status_code


def test_pages_of_other_origins_are_refused(address: str):
    host = address.removeprefix("http://")
    assert status(address, Origin=address) == 200
    assert status(address, Origin=address, **{"Sec-Fetch-Site": "same-origin"}) == 200
    for origin in (
        "http://example.org",
        "null",
        f"http://{host}.example.org",
        "http://127.0.0.1:1",
        "http://localhost",
        "http://[",
    ):
        assert status(address, Origin=origin) == 403
    for site in ("cross-site", "same-site"):
        assert status(address, **{"Sec-Fetch-Site": site}) == 403
    assert requests.post(f"{address}/api/predict", PHOTO, timeout=9).status_code == 403, "without the header"


def test_nobody_is_allowed_to_send_the_header_from_elsewhere(address: str):
    asked = {"Origin": "http://example.org", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "x-vclr-job"
    answers = [requests.options(f"{address}/api/predict", headers=asked, timeout=9)]
    answers += [requests.get(address, headers={"Origin": "http://example.org"}, timeout=9)]
    assert answers[0].status_code == 403
    for answer in answers:
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_other_names_are_refused(address: str):
    port = address.rpartition(":")[2]
    for name in (f"localhost:{port}", f"[::1]:{port}", "127.0.0.1"):
        assert requests.get(address, headers={"Host": name}, timeout=9).status_code == 200
    for name in (f"example.org:{port}", "localhost.example.org", "", "[", "127.0.0.1.example.org"):
        assert requests.get(address, headers={"Host": name}, timeout=9).status_code in (400, 403)


def test_headers_of_security(address: str):
    for path in ("", "page.js", "api/queue/none", "missing"):
        headers = requests.get(f"{address}/{path}", timeout=9).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"


def test_token_is_needed(guarded: str):
    for path in ("", "page.js", "api/queue/none"):
        answer = requests.get(f"{guarded}/{path}", timeout=9)
        assert answer.status_code == 401 and "vclr serve" in answer.text
    assert status(guarded) == 401
    for wrong in (TOKEN[:-1], TOKEN + "x", ""):
        answer = requests.get(guarded, params={"token": wrong}, timeout=9)
        assert answer.status_code == 401 and not answer.cookies
    assert status(guarded, Authorization="Bearer wrong") == 401


def test_address_with_the_token_leaves_a_cookie(guarded: str):
    visitor = requests.Session()
    first = visitor.get(guarded, params={"token": TOKEN}, timeout=9)
    assert first.status_code == 200
    said = first.headers["Set-Cookie"]
    assert "HttpOnly" in said and "SameSite=Strict" in said and "s;cret" not in said
    assert visitor.get(guarded, timeout=9).status_code == 200
    own = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    for others in ('prefs={"theme": "dark"}', "foo", "a[b]=c"):  # of other programs on this host
        assert status(guarded, Cookie=f"{others}; {own}") == 200
    answer = visitor.post(f"{guarded}/api/predict", PHOTO, headers={"X-Vclr-Job": "1"}, timeout=60)
    assert answer.status_code == 200
    foreign = {"X-Vclr-Job": "1", "Origin": "http://example.org"}
    assert visitor.post(f"{guarded}/api/predict", PHOTO, headers=foreign, timeout=9).status_code == 403


def test_scripts_name_the_token_in_a_header(guarded: str):
    answer = post(guarded, PHOTO, Authorization=f"Bearer {TOKEN}".encode().decode("latin-1"))
    assert answer.status_code in (200, 401)  # headers are Latin-1; scripts need tokens of ASCII
