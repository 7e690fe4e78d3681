"""The report says which annotations a published protocol was evaluated on, and how the published ones differ."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.report.report_world import provenance_of, settings_of, write_data, write_result, write_training
from vclr.catalog.data_sets import PROTOCOLS
from vclr.errors import UserError
from vclr.evaluation.evaluated_set import EvaluatedSet, Origin
from vclr.files import write_json
from vclr.report.evaluated_files import comparison_table, describe_origin
from vclr.report.page import write_report

LVIS = PROTOCOLS["lvis"]
OFFICIAL, PUBLISHED = "lvis_v1_val.json", "openworld_lvis_noncoco_val_correct.json"


def evaluated(root: Path, name: str, origin: Origin | None) -> EvaluatedSet:
    return EvaluatedSet(f"{root}/splits/{name}.json", "5a", "photos", "lvis", origin)


def write_comparison(root: Path, **changes: Any) -> None:
    numbers = {"split": 1200, "file": 1201, "only_split": 0, "only_file": 1}
    content = {
        "official": {"file": OFFICIAL, "bytes": 1, "sha256": "0ff1"},
        "published": {"file": PUBLISHED, "bytes": 1, "sha256": "9b11"},
        "images": {**numbers, "file": 1200, "only_file": 0},
        "annotations": numbers,
        "classes_only_split": {},
        "classes_only_file": {"minivan": 2, "": 1},
        "differences": ["annotations only in the file: 1: a.jpg [1, 2, 3, 4], area 5"],
    }
    write_json(LVIS.comparison(root), content | changes)


@pytest.mark.parametrize(
    ("name", "origin", "says"),
    [
        (
            "lvis_val_noncoco_published",
            ("published", PUBLISHED, "9b11"),
            f"published, made from {PUBLISHED} (sha256 9b11)",
        ),
        ("lvis_val_noncoco", ("rebuilt", OFFICIAL, "0ff1"), f"rebuilt, made from {OFFICIAL} (sha256 0ff1)"),
        ("lvis_val_noncoco", ("rebuilt", "", ""), "rebuilt, without a record of its source"),
        (
            "coco2017_val_nonvoc",
            ("rebuilt", "instances_val2017.json", "c0"),
            "rebuilt, made from instances_val2017.json (sha256 c0); no json of this test set is published",
        ),
    ],
)
def test_files_are_named_with_their_source(tmp_path: Path, name: str, origin: tuple[str, str, str], says: str):
    assert describe_origin(evaluated(tmp_path, name, Origin(*origin)))["files"] == says


def test_other_test_sets_have_no_such_rows(tmp_path: Path):
    for test_set in (evaluated(tmp_path, "mine", None), evaluated(tmp_path, "lvis_val_noncoco", None)):
        assert describe_origin(test_set) == {} and comparison_table(test_set) is None


def test_why_there_is_no_comparison(tmp_path: Path):
    test_set = evaluated(tmp_path, "lvis_val_noncoco_published", Origin("published", PUBLISHED, "9b11"))

    def why() -> str:
        assert comparison_table(test_set) is None
        return describe_origin(test_set)["published and rebuilt"].removeprefix("not compared: ")

    official, published = tmp_path / LVIS.json, tmp_path / "raw/owis" / PUBLISHED
    assert why() == f"{official} does not exist; get it with `vclr fetch lvis --output {tmp_path}`"
    write_json(official, {})
    assert why() == f"{published} does not exist; get it with `vclr fetch owis/{PUBLISHED} --output {tmp_path}`"
    write_json(published, {})
    assert why() == (
        f"`vclr split lvis_noncoco --annotations {official} --compare {published}"
        f" --comparison {tmp_path}/splits/lvis_val_noncoco.compared.json` was not run"
    )
    write_comparison(tmp_path, published={"file": PUBLISHED, "sha256": "other"})
    assert why() == f"{tmp_path}/splits/lvis_val_noncoco.compared.json is of another {PUBLISHED}"
    write_json(LVIS.comparison(tmp_path), {"differences": []})
    with pytest.raises(UserError, match=r"compared\.json: is not a comparison: .*; delete it"):
        describe_origin(test_set)


def test_comparison_as_a_table(tmp_path: Path):
    write_comparison(tmp_path)
    for name, origin in (
        ("", Origin("rebuilt", OFFICIAL, "0ff1")),
        ("_published", Origin("published", PUBLISHED, "9b11")),
    ):
        test_set = evaluated(tmp_path, f"lvis_val_noncoco{name}", origin)
        assert list(describe_origin(test_set)) == ["files"]
        table = comparison_table(test_set)
        assert table is not None and not table["is_same"]
        assert table["rows"] == [
            ("images", "1,200", "1,200", "0", "0"),
            ("annotations", "1,200", "1,201", "0", "1"),
            ("official classes of these annotations", "", "", "", "minivan 2, not official 1"),
        ]
    write_comparison(tmp_path, differences=[], classes_only_file={f"c{number}": 1 for number in range(12)})
    table = comparison_table(test_set)
    assert table is not None and table["is_same"]
    assert table["rows"][2][4].endswith("c9 1 and 2 more")


def test_page_shows_files_and_comparison(tmp_path: Path):
    coco = write_data(tmp_path)
    annotations = tmp_path / "splits/lvis_val_noncoco_published.json"
    annotations.parent.mkdir()
    shutil.copy(tmp_path / "val.json", annotations)
    provenance = provenance_of(annotations, tmp_path / "images", "lvis")
    provenance["test_set"]["origin"] = {"files": "published", "json": PUBLISHED, "sha256": "9b11"}
    write_training(tmp_path, "full", 0, settings_of(tmp_path, "full"))
    write_result(tmp_path / "results/full/seed0/lvis", coco, (4, 4), provenance=provenance)

    def page() -> str:
        write_report(["full"], [0], tmp_path / "runs", tmp_path / "results", tmp_path / "out", "files")
        return " ".join(re.sub(r"<[^>]*>", " ", (tmp_path / "out/report.html").read_text()).split())

    text = page()
    assert f"files published, made from {PUBLISHED} (sha256 9b11)" in text
    assert "published and rebuilt not compared: " in text and "those rebuilt from the official json" not in text
    write_comparison(tmp_path)
    text = page()
    assert "The published annotations differ from those rebuilt from the official json" in text
    assert "rebuilt published only rebuilt only published images 1,200 1,200 0 0 annotations 1,200 1,201 0 1" in text
    assert f"Compared: {OFFICIAL} (sha256 0ff1) and {PUBLISHED} (sha256 9b11)" in text
    assert "annotations only in the file: 1: a.jpg" in text and "not compared: " not in text
