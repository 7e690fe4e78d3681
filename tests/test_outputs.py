"""Outputs: no command overwrites its inputs or files of another kind, or notices too late that it cannot write."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vclr.cli import app
from vclr.errors import UsageError, UserError
from vclr.files import write_json
from vclr.outputs import COCO_KEYS, EVALUATION, REPORT, Kind, check_output_file, check_output_folder
from vclr.pictures import write_png

ANY: Kind = ((), ())


def _itself(path: Path) -> Path:
    return path


def _detour(path: Path) -> Path:
    (path.parent / "x").mkdir()
    return path.parent / "x" / ".." / path.name


def _link(path: Path) -> Path:
    path.with_name("link.json").symlink_to(path)
    return path.with_name("link.json")


def _hard_link(path: Path) -> Path:
    os.link(path, path.with_name("hard.json"))
    return path.with_name("hard.json")


def _linked_folder(path: Path) -> Path:
    (path.parent / "there").symlink_to(path.parent, target_is_directory=True)
    return path.parent / "there" / path.name


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [], "annotations": []}))
    return path


@pytest.mark.parametrize("way", [_itself, _detour, _link, _hard_link, _linked_folder])
def test_an_input_is_refused_by_whatever_name(source: Path, way: Callable[[Path], Path]):
    with pytest.raises(UsageError, match="is also given as --annotations"):
        check_output_file(way(source), {"--proposals": None, "--annotations": source}, COCO_KEYS)
    with pytest.raises(UsageError, match="is also given as --join"):
        check_output_file(way(source) if way is _itself else source, {"--join": [Path("b"), source]})


@pytest.mark.parametrize(
    ("content", "is_refused"),
    [
        (b'{"images": [], "annotations": []}', False),
        (b'{"info": {}, "categories": []}', False),
        (b"", True),
        (b'{"shapes": [], "imagePath": "images"}', True),
        (b"[]", True),
        (b"\x89PNG", True),
        (b"notes", True),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, is_refused: bool):
    (tmp_path / "b.json").write_bytes(content)
    if not is_refused or not content:  # an empty file holds nothing to lose
        check_output_file(tmp_path / "b.json", {}, COCO_KEYS)
        return
    with pytest.raises(UsageError, match=r"b\.json: exists, but was not written by this command"):
        check_output_file(tmp_path / "b.json", {}, COCO_KEYS)


def test_a_folder_is_no_file_and_a_file_no_folder(source: Path):
    with pytest.raises(UsageError, match=r"is a folder; name a file, .*NAME\.json"):
        check_output_file(source.parent, {})
    with pytest.raises(UsageError, match="is a file; name a folder"):
        check_output_folder(source, {})
    with pytest.raises(UsageError, match=r"b\.json: .*a\.json is a file, not a folder"):
        check_output_file(source / "b.json", {})
    with pytest.raises(UsageError, match=r"x/y: .*a\.json is a file, not a folder"):
        check_output_folder(source / "x" / "y", {})
    with pytest.raises(UsageError, match=r"a\.json in it is also given as --predictions"):
        check_output_folder(source.parent, {"--predictions": [source]}, {"a.json": ANY})
    check_output_folder(source.parent / "new" / "folder", {"--predictions": source}, {"a.json": ANY})
    assert not (source.parent / "new").exists(), "a check makes nothing"


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(tmp_path: Path):
    (tmp_path / "locked").mkdir(mode=0o555)
    user = os.geteuid()
    try:
        if not user:  # who may write everywhere
            os.seteuid(65534)
        with pytest.raises(UsageError, match=r"--output .*new/a\.json: cannot be written: .*; choose another folder"):
            check_output_file(tmp_path / "locked" / "new" / "a.json", {})
    finally:
        os.seteuid(user)


def test_files_of_others_in_a_folder_are_kept(tmp_path: Path):
    (tmp_path / "metrics.json").write_text('{"a": 1}')
    with pytest.raises(UsageError, match="exists, but was not written by this command"):
        check_output_folder(tmp_path, {}, EVALUATION)
    (tmp_path / "metrics.json").write_text('{"groups": {}}')
    (tmp_path / "predictions.json").write_text('{"images": []}')
    with pytest.raises(UsageError, match="exists, but was not written by this command"):
        check_output_folder(tmp_path, {}, EVALUATION)
    (tmp_path / "predictions.json").write_text("[]")
    check_output_folder(tmp_path, {}, EVALUATION)
    for name, row in (("curves.json", {"iteration": 20}), ("recall_by_size.json", {"objects": "known small"})):
        for rows in ([], [row]):
            write_json(tmp_path / name, rows, indent=1)
            check_output_folder(tmp_path, {}, REPORT)
        write_json(tmp_path / name, [{"other": 1}], indent=1)
        with pytest.raises(UsageError, match="exists, but was not written by this command"):
            check_output_folder(tmp_path, {}, REPORT)
        (tmp_path / name).unlink()


# --- the commands ----------------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> tuple[str, int]:
    """Run a command, and return its output and exit code."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    error = result.exception
    return (str(error), error.exit_code) if isinstance(error, UserError) else (result.output, result.exit_code)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with a photo, its annotations for COCO and labelme, results and a checkpoint."""
    write_png(tmp_path / "images" / "a.png", np.full((20, 30, 3), 90, np.uint8))
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2.5, 2, 9, 9], "score": 0.5}
    images = [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}]
    coco = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "person"}]}
    write_json(tmp_path / "a.json", coco)
    write_json(tmp_path / "r.json", [box])
    shape = {"label": "person", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    write_json(tmp_path / "images" / "a.json", {"imagePath": "a.png", "shapes": [shape]})
    torch.save({"model": {}}, tmp_path / "last.pt")
    return tmp_path


COMMANDS = {
    "split": ("split one_class --annotations a.json --output {}", ["a.json"]),
    "split, with its record": ("split one_class --annotations a.record.json --output a.json", ["a.record.json"]),
    "split, compared": ("split one_class --annotations a.json --compare b.json --output {}", ["b.json"]),
    "proposals": ("proposals --quiet --images images --annotations a.json --output {}", ["a.json", "images/a.png"]),
    "proposals, over annotations": ("proposals --quiet --images images --output {}", ["b.json"]),
    "proposals, joined": ("proposals --join a.json --join b.json --output {}", ["a.json", "b.json", "a.record.json"]),
    "proposals import": ("proposals import r.json --annotations a.json --output {}", ["a.json", "r.json", "b.json"]),
    "proposals merge": (
        "proposals merge a.json b.json --quiet --output {}",
        ["a.json", "b.json", "r.json", "a.record.json"],
    ),
    "proposals rank": (
        "proposals rank b.json --images images --annotations a.json --quiet --output {}",
        ["a.json", "b.json", "images/a.png", "a.record.json"],
    ),
    "proposals recall": ("proposals recall b.json a.json --output {}", ["a.json", "b.json"]),
    "score": ("score a.json r.json --output {}", ["a.json", "r.json", "images/a.json", "images/a.png", "last.pt"]),
    "doctor": ("doctor data --quiet --annotations a.json --images images --output {}", ["a.json", "images/a.json"]),
    "doctor, configuration": (
        "doctor data --quiet data.train.annotations=a.json data.train.images=images --output {}",
        ["a.json"],
    ),
    "audit": (
        "audit data.train.annotations=a.json data.train.images=images data.test.annotations=b.json "
        "data.test.images=images --output {}",
        ["a.json", "b.json"],
    ),
    "import labelme": ("import labelme images --quiet --output {}", ["images/a.json", "images/a.png"]),
    "import voc": ("import voc --images images --masks images --output {}", ["images/a.png", "last.pt"]),
    "import yolo": ("import yolo images --classes names.txt --quiet --output {}", ["images/a.png", "last.pt"]),
    "import roboflow": ("import roboflow a.json --images images --output {}", ["a.json", "images/a.png"]),
    "import cvat": ("import cvat a.json --images images --output {}", ["a.json", "images/a.png"]),
    "import labelstudio": ("import labelstudio a.json --images images --output {}", ["a.json", "images/a.png"]),
    "import via": ("import via a.json --images images --output {}", ["a.json", "images/a.png"]),
    "import makesense": ("import makesense a.json --images images --output {}", ["a.json", "images/a.png"]),
    "import coco": ("import coco a.json --images images --output {}", ["a.json", "images/a.png", "last.pt"]),
    "convert": ("convert last.pt --to reference --output {}", ["last.pt", "a.json", "images/a.png"]),
    "evaluate": (
        "evaluate --predictions out/predictions.json --predictions r.json data.test.annotations=a.json "
        "data.test.images=images --output {}",
        ["out"],
    ),
    "views": ("views --view edge --images images --output {}", ["images", ".", "a.json", "raw", "link"]),
    "report": ("report --experiments demo --output {}", ["a.json"]),
    "study": ("study --experiments demo --seeds 0 --output {}", ["a.json"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_commands_write_over_nothing(world: Path, monkeypatch: pytest.MonkeyPatch, case: str):
    monkeypatch.chdir(world)
    shutil.copy("a.json", "b.json")
    shutil.copy("a.json", "a.record.json")
    (world / "out").mkdir()
    shutil.copy("r.json", "out/predictions.json")
    write_json("raw/manifest.json", {"source": "toy", "files": {}})  # of `vclr fetch`, of no view
    (world / "link").symlink_to("out", target_is_directory=True)
    before = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
    command, outputs = COMMANDS[case]
    for output in outputs:
        says, exit_code = run(*command.format(output).split())
        assert exit_code == 2, says
        assert "\n" not in says
        assert output.rpartition("/")[2] in says
        assert {path: path.read_bytes() for path in world.rglob("*") if path.is_file()} == before
    assert (world / "link").is_symlink()


def test_commands_write_again_what_they_wrote(world: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(world)
    for command in (
        "split one_class --annotations a.json --output split.json",
        "proposals --quiet --images images --output p.json",
        "proposals --quiet --images images --output s.json --shard 1/1",
        "proposals --join s.json --output p.json",
        "proposals import r.json --annotations a.json --quiet --output i.json",
        "proposals merge p.json i.json --quiet --output m.json",
        "proposals recall m.json a.json --output recall.json",
        "score a.json r.json --output metrics.json",
        "doctor data --quiet --annotations a.json --images images --output report.json",
        "import labelme images --quiet --output images/all.json",
        "import coco a.json --images images --output images/clean.json",
        "views --view edge --images images --output edge --quiet",
        "audit data.train.annotations=a.json data.train.images=images data.test.annotations=a.json "
        "data.test.images=images --output leaks.json --quiet",
    ):
        for _ in range(2):
            says, exit_code = run(*command.split())
            assert exit_code == 0, f"{command}: {says}"
