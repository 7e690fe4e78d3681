"""How long a download waits, and how often it tries again."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

from vclr.errors import UsageError


@dataclass(frozen=True)
class Patience:
    """Seconds, and attempts."""

    retries: int = 6  # at an address, in a row, without a new byte
    first_wait: float = 1.0  # doubled with each attempt
    longest_wait: float = 60.0
    longest_retry_after: float = 600.0  # whatever a server asks for
    connect_timeout: float = 15.0
    read_timeout: float = 60.0  # without a byte

    def wait(self, failures: int, retry_after: float) -> float:
        """Return the seconds to wait after so many failures; between half and all of what they make, by chance."""
        backoff = min(self.first_wait * 2 ** (failures - 1), self.longest_wait) * random.uniform(0.5, 1.0)
        return max(backoff, min(retry_after, self.longest_retry_after))


def patience_from_environment() -> Patience:
    """Read `VCLR_FETCH_TIMEOUT` (seconds without a byte), `VCLR_FETCH_RETRIES`, `VCLR_FETCH_WAIT` (the first one).

    Raises:
        UsageError: one is no number that it can be.
    """
    default = Patience()
    return Patience(
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
