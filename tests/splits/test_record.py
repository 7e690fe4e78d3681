"""The record of a split: the same wherever and whenever it is made, and never that of another json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vclr
from tests.splits.made import write_split
from tests.splits.test_split import write_world
from vclr.catalog.classes import VOC_CLASSES
from vclr.catalog.data_sets import record_path
from vclr.errors import UserError
from vclr.files import read_json, sha256

ROOT = Path(__file__).parents[2]


def test_record_says_what_the_split_was_made_of(tmp_path: Path):
    path = write_world(tmp_path / "all.json", [*VOC_CLASSES, "zebra", "spoon"])
    write_split("nonvoc", path, tmp_path / "out" / "part.json")
    record = read_json(tmp_path / "out" / "part.record.json")
    assert record == {
        "split": "nonvoc",
        "vclr": vclr.__version__,
        "annotations": {"file": "all.json", "bytes": path.stat().st_size, "sha256": sha256(path)},
        "kept": ["zebra", "spoon"],
        "left_out": list(VOC_CLASSES),
        "objects_by_class": {"zebra": 1, "spoon": 2},
        "images": 2,
        "objects": 3,
        "crowds": 0,
        "output": {
            "file": "part.json",
            "bytes": (tmp_path / "out" / "part.json").stat().st_size,
            "sha256": sha256(tmp_path / "out" / "part.json"),
        },
    }


def test_record_is_the_same_in_another_folder(tmp_path: Path):
    texts = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        path = write_world(folder / "all.json", [*VOC_CLASSES, "zebra"])
        write_split("voc", path, folder / "part.json", train=path)
        texts.append((record_path(folder / "part.json").read_bytes(), (folder / "part.json").read_bytes()))
    assert texts[0] == texts[1]
    assert json.loads(texts[0][0])["leaks"]["leaked_images"] == 1


def test_failed_split_leaves_json_and_record_as_they_were(tmp_path: Path):
    path = write_world(tmp_path / "all.json", [*VOC_CLASSES, "zebra"])
    write_split("voc", path, tmp_path / "part.json")
    write_world(path, ["zebra"])
    before = {entry: entry.read_bytes() for entry in tmp_path.iterdir()}
    with pytest.raises(UserError):
        write_split("voc", path, tmp_path / "part.json")
    assert {entry: entry.read_bytes() for entry in tmp_path.iterdir()} == before


# Each child makes the split again and is killed at its n-th file that is opened, renamed or removed in the folder.
KILLED_EVERYWHERE = """
import os, pathlib, signal, sys
from tests.splits.made import write_split

folder = pathlib.Path(sys.argv[1])
for number in range(1, 99):
    write_split("nonvoc", folder / "all.json", folder / "part.json")
    child = os.fork()
    if not child:
        left = number
        def strike(event, arguments):
            global left
            if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(str(folder)):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(strike)
        write_split("voc", folder / "all.json", folder / "part.json")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    files = folder / "part.json", folder / "part.record.json"
    print(repr([file.read_text() if file.exists() else "" for file in files]))
    if not status:
        break
"""


def test_a_killed_split_leaves_no_record_that_lies(tmp_path: Path):
    write_world(tmp_path / "all.json", [*VOC_CLASSES, "zebra"])
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = [eval(line) for line in done.stdout.splitlines()]
    assert len(outcomes) > 8
    seen = set()
    for text, record in outcomes:
        there = {category["name"] for category in json.loads(text)["categories"]}
        assert there in ({"zebra"}, set(VOC_CLASSES)), "the json is whole"
        if record:
            assert set(json.loads(record)["kept"]) == there
        seen.add(("zebra" in there, bool(record)))
    assert seen == {(True, True), (True, False), (False, False), (False, True)}
