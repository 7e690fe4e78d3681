"""How to fetch: options of the command line and variables of the environment."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

from vclr.errors import UsageError


@dataclass(frozen=True)
class RetryPolicy:
    """Numbers of retries, and times in seconds."""

    retries: int = 6  # per address, in a row, without a new byte
    first_wait: float = 1.0  # doubled with each retry
    longest_wait: float = 60.0
    longest_retry_after: float = 600.0  # even if a server asks for more
    connect_timeout: float = 15.0
    read_timeout: float = 60.0  # without a byte

    def wait(self, failures: int, retry_after: float) -> float:
        """Return the seconds to wait after a number of failures, with jitter between half and all of the wait."""
        backoff = min(self.first_wait * 2 ** (failures - 1), self.longest_wait) * random.uniform(0.5, 1.0)
        return max(backoff, min(retry_after, self.longest_retry_after))


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


def retry_policy_from_environment() -> RetryPolicy:
    """Read `VCLR_FETCH_TIMEOUT` (seconds without a byte), `VCLR_FETCH_RETRIES` and `VCLR_FETCH_WAIT` (the first wait).

    Raises:
        UsageError: a value is not a number, or out of range.
    """
    default = RetryPolicy()
    return RetryPolicy(
        retries=int(_number("VCLR_FETCH_RETRIES", default.retries, 0)),
        first_wait=_number("VCLR_FETCH_WAIT", default.first_wait, 0),
        read_timeout=_number("VCLR_FETCH_TIMEOUT", default.read_timeout, 0.01),
    )


def _number(name: str, default: float, least: float) -> float:
    text = os.environ.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = least - 1
    if not least <= number <= 1e6:
        raise UsageError(f"{name}={text}: must be a number from {least:g} to 1000000")
    return number
