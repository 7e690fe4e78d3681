"""Hostile json, YAML and their settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.hostile import every_case, try_case

pytestmark = pytest.mark.slow


@every_case("coco", "predictions", "manifest", "settings")
def test_hostile_input(kind: str, number: int, copy: Path):
    try_case(kind, number, copy)
