"""How to fetch: options of the command line and variables of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vclr.fetch.retry import RetryPolicy


@dataclass(frozen=True)
class Settings:
    """How to fetch."""

    output: Path
    retry: RetryPolicy = RetryPolicy()
    parts: int = 4
    mirror: str = ""  # tried before all other addresses: mirror/<path below the data folder>
    packed: bool = False  # do not unpack zips of photos
    keep_packed: bool = False  # do not unpack zips that are there already
    keep_archives: bool = False
    update_lock: bool = False
    verify: bool = False
    quiet: bool = False
    offline: str = ""  # the variable that forbids the network


def offline_variable() -> str:
    """Return the variable that forbids the network, empty if none does."""
    for name in ("VCLR_OFFLINE", "HF_HUB_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name}={os.environ[name]}"
    return ""
