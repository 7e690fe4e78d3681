"""Addresses, and the connections to them that several files share."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import requests


@dataclass(frozen=True)
class Address:
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Sessions:
    """A requests session for each thread, with connections that stay open until all are closed.

    Once `interrupted` is set, whoever uses them ends as soon as it hears from its server, or waits for nothing.
    """

    def __init__(self) -> None:
        self.here = threading.local()
        self.all: list[requests.Session] = []
        self.interrupted = threading.Event()

    def get(self) -> requests.Session:
        """Return the session of this thread."""
        if not hasattr(self.here, "session"):
            self.here.session = requests.Session()
            self.here.session.headers["User-Agent"] = "vclr"
            self.all.append(self.here.session)
        session: requests.Session = self.here.session
        return session

    def leave(self) -> None:
        """Close the session of this thread, which ends."""
        if hasattr(self.here, "session"):
            self.here.session.close()
            self.all.remove(self.here.session)
            del self.here.session

    def close(self) -> None:
        while self.all:
            self.all.pop().close()

    def __enter__(self) -> Sessions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
