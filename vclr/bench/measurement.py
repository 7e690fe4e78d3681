"""What a benchmark measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Measurement:
    """The seconds of each timed run, and what else is to be reported, by name."""

    seconds: list[float]
    details: dict[str, Any] = field(default_factory=dict)
