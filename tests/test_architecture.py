"""The shape of the package: imports point down, no drawer of odds and ends, configurations without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vclr"

# The rooms, lowest first: each imports from those above it in this list and from itself; those of one line from each
# other too.
FLOORS = [
    {
        "worker_pool",
        "depth_colors",
        "detectron2_package",
        "device",
        "drawing",
        "environment",
        "errors",
        "file_lock",
        "file_names",
        "files",
        "finding",
        "groups",
        "host_memory",
        "json_stream",
        "json_text",
        "nvml",
        "option_names",
        "other_work",
        "outputs",
        "picture_limits",
        "pictures",
        "processes",
        "progress",
        "shards",
        "structures",
        "wording",
        "work_folder",
    },
    {"image_folders"},
    {"catalog"},
    {"installation"},
    {"config"},
    {"model_source"},
    {"pretrained"},
    {"coco"},
    {"pre_annotations"},
    {"ops"},
    {"models"},
    {"losses"},
    {"tracking"},
    {"views"},
    {"object_proposals"},
    {"generate"},
    {"fetch"},
    {"splits"},
    {"data"},
    {"evaluation"},
    {"report"},
    {"studio"},
    {"engine"},
    {"bench", "launch"},
    {"serve"},
    {"export"},
    {"interop"},
    {"cli", "__init__"},
]
STRANGERS = {("losses", "models"), ("tracking", "models"), ("tracking", "losses")}  # the engine is where they meet
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def room_of(source: Path) -> str:
    return source.relative_to(PACKAGE).with_suffix("").parts[0]


def names_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names]


def imported_rooms(source: Path) -> set[str]:
    """Rooms of the package that a file imports, at the top or inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= set(names_of(node))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import; say vclr.<room>"
            from_package = {f"vclr.{name}" if name in FLOOR else "vclr.__init__" for name in names_of(node)}
            modules |= from_package if node.module == "vclr" else {node.module or ""}
    return {module.split(".")[1] for module in modules if module.startswith("vclr.")}


def may_import(importer: str, imported: str) -> bool:
    if (importer, imported) in STRANGERS:
        return False
    if importer == imported or FLOOR[imported] < FLOOR[importer]:
        return True
    return FLOOR[importer] == FLOOR[imported] == 0 or FLOOR[importer] == len(FLOORS) - 1


def test_rule_tells_up_from_down():
    assert may_import("engine", "models")
    assert may_import("files", "errors")
    assert not may_import("losses", "models")
    assert not may_import("ops", "data")
    assert not may_import("errors", "ops")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.relative_to(ROOT).as_posix())
def test_imports_point_down(source: Path):
    assert room_of(source) in FLOOR, f"{source.relative_to(ROOT)}: the room {room_of(source)!r} has no floor"
    for imported in imported_rooms(source):
        assert imported in FLOOR, f"{source.relative_to(ROOT)} imports vclr.{imported}, which has no floor"
        assert may_import(room_of(source), imported), (
            f"{source.relative_to(ROOT)} imports vclr.{imported}: not below it"
        )


def test_every_floor_is_of_a_room_that_exists():
    assert set(FLOOR) == {room_of(source) for source in SOURCES}


def test_no_drawer_of_odds_and_ends():
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert not [source for source in SOURCES if drawers & set(source.relative_to(PACKAGE).with_suffix("").parts)]


@pytest.mark.parametrize("module", ["vclr.config", "workflow.experiments"])
def test_configurations_are_read_without_torch(module: str):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
