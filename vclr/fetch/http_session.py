"""The addresses of files, and the HTTP session that all downloads share."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import requests
from requests.adapters import HTTPAdapter

MAX_CONNECTIONS = 64  # kept open per host: as many as `--parts` may ask for


@dataclass(frozen=True)
class Address:
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpSession(requests.Session):
    """Connections that several threads share and that stay open for the next file.

    Downloads check `interrupted`: once it is set, they end at their next byte or before their next wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = threading.Event()
        self.headers["User-Agent"] = "vclr"
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
