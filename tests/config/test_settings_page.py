"""configs/README.md lists every setting, with its default, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from vclr.config import list_keys

PAGE = Path(__file__).parents[2] / "configs" / "README.md"


def test_the_page_lists_every_setting_and_no_other():
    listed = re.findall(r"^\| `([a-z0-9_.]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert listed == list_keys()


def test_every_setting_has_a_meaning():
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows
    assert all(len(row[3].strip()) > 3 for row in rows)
