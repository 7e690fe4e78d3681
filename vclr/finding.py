"""What one check of `vclr doctor` found."""

from __future__ import annotations

from typing import NamedTuple

OK, WARNING, ERROR = "ok", "warning", "error"


class Finding(NamedTuple):
    """How bad it is, what it is about, what is the case, and how to mend it."""

    level: str
    topic: str
    says: str
    fix: str = ""
