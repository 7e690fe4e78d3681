"""The page about views in a real browser: no requests, no errors, nothing wider than the screen, no serious fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.report.chromium import CHROMIUM
from tests.report.test_report_in_chromium import axe, open_and  # noqa: F401  # a fixture
from vclr.cli import app
from vclr.generate.toy import write_toy_world

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    write_toy_world(root, num_train=6, num_val=2, quiet=True)
    arguments = ["--images", f"{root}/raw/toy/images", "--view", f"depth={root}/views/toy/depth"]
    arguments += ["--computed", "edge,shuffled_patch", "--output", f"{root}/page.html", "--quiet"]
    arguments += ["--min-structure", "depth=0.99"]
    assert CliRunner().invoke(app, ["views", "inspect", *arguments]).exit_code == 0
    return root / "page.html"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1600), ("dark", 420)])
def test_the_page_fits_and_has_no_serious_fault(tmp_path: Path, page: Path, axe: str, scheme: str, width: int):  # noqa: F811
    async def visit(opened: Any) -> list[dict[str, Any]]:
        assert await opened.run("document.documentElement.scrollWidth") <= width
        await opened.run(f"{axe};0")
        violations: list[dict[str, Any]] = (await opened.run("axe.run()"))["violations"]
        return violations

    found = open_and(tmp_path, page, visit, scheme=scheme, width=width)
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, json.dumps([(one["id"], one["nodes"][0]["html"]) for one in serious])
