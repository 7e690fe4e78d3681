"""How to fetch: what the command line and the environment say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vclr.fetch.patience import Patience


@dataclass(frozen=True)
class Settings:
    """How to fetch."""

    output: Path
    patience: Patience = Patience()
    parts: int = 4
    mirror: str = ""  # tried before all other addresses: mirror/<path below the data folder>
    packed: bool = False  # leave zips of photos as they are
    keep_packed: bool = False  # leave those that are there already
    keep_archives: bool = False
    update_lock: bool = False
    verify: bool = False
    quiet: bool = False
    offline: str = ""  # the variable that says so


def offline_variable() -> str:
    """Return the variable that forbids the network, empty where none does."""
    for name in ("VCLR_OFFLINE", "HF_HUB_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name}={os.environ[name]}"
    return ""
